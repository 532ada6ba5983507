"""Every bound of the ladder in one place, with the sentence that says what it holds back.

The defaults were set on honestly trained small experts (tests/coordinator/verify/test_verify_honest.py measures their
distance to each bound); an organiser changes single ones under `[verify]` in run.toml.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class VerificationBounds(BaseModel):
    """Thresholds of rungs 1 to 4. All are scalars, so that a TOML table can hold them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_late_s: Annotated[float, Field(ge=0)] = 30 * 86400.0
    """Seconds after the lease's end in which finished work for a task without an expert is still judged."""
    allow_moved_head: bool = False
    """Judge the signed commit although somebody pushed to the pull request later. Everything is read at the signed
    commit either way; on a Hub where strangers may push to each other's pull requests, set it."""
    max_size_ratio: Positive = 1.05
    """Largest file, as a multiple of the model's parameters in the widest allowed dtype plus its header."""
    max_json_bytes: Annotated[int, Field(ge=1024)] = 16 * 1024
    """Largest submission.json."""
    max_header_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    """Largest safetensors header. DiT-XL/2 needs about 60 KB."""
    max_header_depth: Annotated[int, Field(ge=2)] = 3
    """Deepest nesting of the header's JSON; a tensor's shape is at depth 3."""
    allowed_dtypes: Annotated[str, Field(pattern=r"^(F32|F16|BF16)(,(F32|F16|BF16))*$")] = "F32,BF16,F16"
    """Which dtypes weights may have."""
    min_rms_ratio: Share = 0.2
    """Smallest root mean square of a matrix that does not start at zero, against its start: weight decay alone does not
    go below."""
    max_rms_ratio: Positive = 50.0
    """Largest root mean square of a tensor against the larger of its start and `rms_floor`."""
    rms_floor: Positive = 0.02
    """What a tensor that starts at zero is held against."""
    min_distance: Share = 0.01
    """Smallest ||w - w0|| / ||w0|| of a trained expert."""
    max_distance: Positive = 10.0
    """Largest ||w - w0|| / ||w0||."""
    max_cosine: Share = 0.98
    """Largest cosine between this expert's way from the initial weights and another submission's."""
    max_compared_values: Annotated[int, Field(ge=2**10)] = 1 << 26
    """Values per file from which the cosines are computed; larger models are sampled in blocks drawn in secret."""
    same_task_is_copy: bool = False
    """Refuse work equal to another volunteer's for the same task. Training is deterministic, so two honest
    volunteers on one task do come out equal: leave it off where `replicas` is above 1."""
    heldout_rows: Annotated[int, Field(ge=8)] = 512
    """At most so many secret rows a cluster are scored."""
    heldout_draws: Annotated[int, Field(ge=1)] = 4
    """Times and noises a row; the same for every model, so that differences between models have little noise."""
    min_gain: Share = 0.1
    """Smallest relative fall of the held-out loss on its own cluster, against the initial weights."""
    min_peer_gain_share: Share = 0.6
    """Smallest share of the registered experts' median gain (each on its own cluster) that this one must reach,
    as far as chance allows."""
    confidence: Share = 0.99
    """One-sided confidence of the paired bootstrap, which must exclude chance before an expert is refused."""
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Resamplings of the rows."""
    max_foreign_advantage: Share = 0.25
    """By how much the gain on a cluster that has no registered expert may exceed the gain on its own: some clusters are
    easier than others for every model."""
    min_identity: Share = 0.01
    """Smallest specialisation against each registered expert of another cluster, as a difference of log losses: how
    much better this one is on its own cluster plus how much worse on the other's."""
    min_identity_share: Share = 0.15
    """Smallest specialisation against any one of them, as a share of the median over all of them."""
    max_claim_ratio: Annotated[float, Field(gt=1)] = 2.0
    """Largest ratio, either way, between the training loss that the volunteer claims and the loss on its shards."""
    claim_rows: Annotated[int, Field(ge=8)] = 256
    """Published rows of its cluster from which the claimed loss is measured."""

    @property
    def dtypes(self) -> frozenset[str]:
        """`allowed_dtypes` as a set."""
        return frozenset(self.allowed_dtypes.split(","))
