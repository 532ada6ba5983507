"""Every bound of the ladder, with its reason.

The defaults were set on honestly trained small experts (tests/coordinator/verify/test_verify_honest.py measures their
distance to each bound); an organiser overrides them under `[verify]` in run.toml.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class VerificationBounds(BaseModel):
    """Thresholds of all rungs. All are scalars, so that a TOML table can hold them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_late_s: Annotated[float, Field(ge=0)] = 30 * 86400.0
    """Time after the lease's end, in seconds, in which finished work for a task without an expert is still judged."""
    allow_moved_head: bool = False
    """Judge the signed commit even if the pull request has moved on. Reads are at the signed commit either way;
    set it on a Hub where volunteers can push to each other's pull requests."""
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
    """Smallest root mean square of a matrix relative to its initial one, where that is not zero; weight decay alone
    stays above."""
    max_rms_ratio: Positive = 50.0
    """Largest root mean square of a tensor, relative to the larger of its initial one and `rms_floor`."""
    rms_floor: Positive = 0.02
    """Reference for tensors that are initialised to zero."""
    min_distance: Share = 0.01
    """Smallest ||w - w0|| / ||w0|| of a trained expert."""
    max_distance: Positive = 10.0
    """Largest ||w - w0|| / ||w0||."""
    max_cosine: Share = 0.98
    """Largest cosine between the weight deltas (w - w0) of this expert and of another submission."""
    min_spectral_distance: Share = 0.12
    """Smallest distance of the spectra from those of another submission, relative to the way from the start. Honest
    experts: 0.27 to 0.64, on one cluster with other noise from 0.23; copies with 20 % of noise: up to 0.08."""
    spectral_layers: Annotated[int, Field(ge=1)] = 4
    """Number of layers whose spectra are compared, secretly drawn."""
    max_compared_values: Annotated[int, Field(ge=2**10)] = 1 << 26
    """Values of a file from which the cosines are computed; larger models are sampled in secretly drawn blocks."""
    same_task_is_copy: bool = False
    """Refuse work equal to another volunteer's for the same task. Training is deterministic, so that two honest
    volunteers on one task get equal weights: leave it off where `replicas` is above 1."""
    heldout_rows: Annotated[int, Field(ge=8)] = 512
    """Largest number of secret rows of a cluster that are scored."""
    heldout_draws: Annotated[int, Field(ge=1)] = 4
    """Times and noises of a row; the same for every model, so that differences between models have little noise."""
    min_gain: Share = 0.1
    """Smallest relative fall of the held-out loss on its own cluster, against the initial weights."""
    min_peer_gain_share: Share = 0.6
    """Smallest gain, as a share of the registered experts' median gain (each on its own cluster), within the
    confidence."""
    min_peer_steps: Share = 0.8
    """Fewest steps of a registered expert that a submission is compared with, as a share of the submission's steps."""
    min_reference_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """The reference may not have learned more, beyond chance, after this share of the submission's steps. By
    mean losses, honest experts of other orders and noises keep 2 % to this bar, and 70 % of the steps never reach it
    (`python -m benchmarks.skill`)."""
    min_reference_identity_share: Share = 0.5
    """Smallest specialisation against the reference of another cluster, as a share of that of the own reference."""
    max_reference_claim_ratio: Annotated[float, Field(gt=1)] = 1.2
    """Largest ratio, either way, between the training loss that the volunteer claims and the reference's. Honest
    experts: up to 1.06 (`python -m benchmarks.skill`)."""
    min_caption_share: Share = 0.5
    """Smallest rise of the log loss with the captions of other rows, as a share of the reference's rise. An honest
    expert had all of it, one with wrong captions 0.06 (tests/coordinator/verify/test_verify_captions.py)."""
    max_caption_harm: Share = 0.02
    """Largest fall of the log loss with the captions of other rows, where no reference says what captions matter."""
    max_leg_rise: Share = 0.05
    """Largest rise of the log loss on its own cluster over one leg."""
    confidence: Share = 0.99
    """One-sided confidence of the paired bootstrap at which an expert is refused."""
    bootstrap_samples: Annotated[int, Field(ge=100)] = 1000
    """Resamplings of the rows."""
    max_foreign_advantage: Share = 0.25
    """Largest excess of the gain on a cluster without a registered expert over the gain on its own cluster: some
    clusters are easier than others for every model."""
    min_ahead: Annotated[float, Field(le=1, allow_inf_nan=False)] = 0.0
    """Smallest log loss by which it is ahead, on its own cluster, of every registered expert of another one. Below zero
    where clusters are so alike that an honest expert may be behind."""
    min_identity: Annotated[float, Field(le=1, allow_inf_nan=False)] = 0.01
    """Smallest specialisation against each registered expert of another cluster, as a difference of log losses: how
    much better this one is on its own cluster plus how much worse on the other's."""
    min_identity_share: Share = 0.15
    """Smallest specialisation against each of them, as a share of the median over all of them. An honest expert of
    pullovers had 0.13 of it against one of shirts: set less for a run with clusters so alike."""
    max_claim_ratio: Annotated[float, Field(gt=1)] = 1.5
    """Largest ratio, either way, between the training loss that the volunteer claims and that of its weights on the
    batches of its last steps. Honest experts of the quick demo: 1.01 to 1.07; of the demo, which learns few pictures by
    heart, up to 1.35: set more for such runs."""
    claim_rows: Annotated[int, Field(ge=8)] = 256
    """Published rows of its cluster on which the claimed loss is checked."""

    word_rise_words: Annotated[int, Field(ge=0)] = 32
    """Words of a vocabulary that are tried in the captions of an expert whose cluster lacks them; 0: none."""
    max_word_rise: Annotated[float, Field(gt=1, allow_inf_nan=False)] = 3.0
    """Rise of the loss by such a word, as a factor, from which on the verdict remarks on it."""

    replay: bool = True
    """Train stretches of legs again (rung 5); a run without legs has none."""
    replay_rate: Share = 0.1
    """Share of the legs of a volunteer with much verified work that are replayed; of a fresh key all are. The first
    stretch of a training always is."""
    audits: Literal["organiser", "volunteers"] = "organiser"
    """Who trains the stretches again."""
    audit_hours: Positive = 2.0
    """Time in which an auditor must return what it found, or report; a long stretch has its share of the deadline."""
    audit_draw_hours: Positive = 0.25
    """How long a drawn volunteer may finish other work before another one is drawn."""
    audit_wait_hours: Positive = 24.0
    """After so long without an audit the organiser's machine trains the stretch again."""
    confirm_refusals: bool = True
    """Let the organiser's machine train a stretch that auditors do not pass, and decide by its end; false: the majority
    of them refuses the work, earns nothing by that, and leaves no baits. For a machine that is too slow for it."""
    roll_back_wrong: Literal["never", "unbuilt", "always"] = "unbuilt"
    """Whether verified work that is refused when it is trained again is rolled back: where that withdraws nobody else's
    leg, always, or never; else the event log names it."""
    bait_rate: Share = 0.1
    """Share of the audits of which the coordinator knows that the claim is wrong, as long as it has such."""
    answer_hours: Positive = 24.0
    """Time in which a volunteer must give the snapshots that a replay needs."""
    max_replay_distance: Positive = 0.02
    """Largest distance of a claimed state from the one trained again, relative to the way of the stretch, where a run
    trains in float32. Honest machines: up to 0.001, cheats from 0.04 (docs/threat-model.md, replay)."""
    max_replay_distance_16bit: Positive = 0.15
    """The same for bfloat16 and float16, whose rounding carries farther: up to 0.09."""

    def max_replay(self, precision: str) -> float:
        """The bound for a run's precision."""
        return self.max_replay_distance if precision == "float32" else self.max_replay_distance_16bit

    @property
    def dtypes(self) -> frozenset[str]:
        """`allowed_dtypes` as a set."""
        return frozenset(self.allowed_dtypes.split(","))
