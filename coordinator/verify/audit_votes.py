"""Rung 5 where other volunteers audit: a stretch's claimed end against the sketches that auditors made of theirs.

An auditor that reached the claimed end settles it. One that did not is no proof: another is asked, and two of them
refuse the work. Where these two differ, a third decides: one of them may be the cheat's friend.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path

from paris.coordinator.state.audits import AuditVote, Bait, settled
from paris.coordinator.verify.case import AuditFound, LegStart, VerificationCase
from paris.coordinator.verify.claimed_states import ClaimedStates
from paris.coordinator.verify.report import Checks
from paris.coordinator.verify.state_specs import state_specs
from paris.coordinator.verify.training_task import training_config, training_task
from paris.experts.errors import CheckpointError
from paris.experts.models.presets import ModelConfig
from paris.experts.training.leg import HEAD_FOLDER
from paris.experts.training.replay import write_public_start
from paris.experts.training.sketch import Sums, keyed_digest, sketch_state
from paris.protocol.audit_order import AuditStart
from paris.protocol.audits import apart, unpacked
from paris.protocol.draws import Stretch

_BAITS = 8
"""Audits with a known answer that one refused stretch gives."""
_FAR = 1e30
"""In place of an infinite distance, which JSON has not."""
CLAIMED = "claimed"
"""In a stretch's folder: the claimed state at its end."""


class AuditNeeded(Exception):
    """A stretch needs another auditor.

    Args:
        stretch: To be trained again.
        start: The state at its start; None: the initial weights.
    """

    def __init__(self, stretch: Stretch, start: AuditStart | None) -> None:
        self.stretch, self.start = stretch, start
        super().__init__(f"An audit of steps {stretch.start} to {stretch.end} is needed.")


class Votes:
    """What auditors say of one leg, and the baits that come of a refusal.

    Args:
        case: The submission and its context.
        leg: Where it starts.
    """

    def __init__(self, case: VerificationCase, leg: LegStart) -> None:
        self._case, self._leg = case, leg
        self._bound = case.bounds.max_replay(training_config(case).precision)
        self.cast: list[AuditVote] = []
        self.baits: list[Bait] = []

    def of(self, stretch: Stretch) -> list[AuditFound]:
        """The audits of a stretch, in the order in which they came."""
        return [found for found in self._case.audits if (found.start, found.end) == stretch]

    def check(self, states: ClaimedStates, stretch: Stretch, folder: Path, checks: Checks) -> None:
        """Compare the audits of a stretch with its claimed end, whose files are at hand.

        Raises:
            CheckFailed: Most auditors ended elsewhere, or the claimed state is not sound.
            AuditNeeded: There is no majority.
            HubError: As `ClaimedStates.fetch`.
        """
        start, claimed = self._fetched(states, stretch, folder, checks)
        votes = [(found, self._vote(found, states, stretch, start, claimed, checks)) for found in self.of(stretch)]
        self.cast += [vote for _, vote in votes]
        agreeing = [(found, vote) for found, vote in votes if vote.agrees]
        for found, vote in votes:
            checks.remark(
                f"steps {stretch.start} to {stretch.end}: {vote.note}, by {found.name} ({found.volunteer[:8]})"
            )
        against = [(found, vote) for found, vote in votes if not vote.agrees]
        passes = settled(len(agreeing), len(against))
        if passes is None:
            raise AuditNeeded(stretch, states.audit_start(stretch.start, checks))
        found, vote = agreeing[0] if passes else against[-1]
        if not passes:
            self._make_baits(states, stretch, start, claimed, checks)
        note = f"distance from steps {stretch.start} to {stretch.end} as audited by {found.name}, relative to their way"
        checks.at_most("distance", vote.distance, self._bound, note)
        checks.at_most(
            "moments", vote.moments, self._bound, f"distance of the optimizer's moments at step {stretch.end}"
        )
        checks.require("audit", vote.agrees, f"the audits of steps {stretch.start} to {stretch.end} end elsewhere")

    def _fetched(self, states: ClaimedStates, stretch: Stretch, folder: Path, checks: Checks) -> tuple[Path, Path]:
        start, claimed = folder / HEAD_FOLDER, folder / CLAIMED
        if stretch.start > 0:
            states.fetch(stretch.start, start, checks)
        elif not start.exists():
            write_public_start(training_task(self._case, self._leg), self._case.text_folder, start)
        states.fetch(stretch.end, claimed, checks)
        return start, claimed

    def _vote(
        self,
        found: AuditFound,
        states: ClaimedStates,
        stretch: Stretch,
        start: Path,
        claimed: Path,
        checks: Checks,
    ) -> AuditVote:
        """Whether an auditor's end is the claimed one."""
        try:
            sketch = self._sketch(stretch, start, claimed, found.nonce, states.at_hand(stretch.end))
        except CheckpointError as error:
            checks.require("snapshot", False, f"the state at step {stretch.end} is not sound: {error.what[:150]}")
            raise
        found_apart = apart(sketch, unpacked(found.sketch))
        agrees = max(found_apart) <= self._bound
        names_claim = found.commitment == states.commitment(stretch.end)
        has_bytes = found.digest == keyed_digest(claimed / "ema.safetensors", found.nonce)
        note = "audited, other"
        if agrees:
            note = "audited, equal in every bit" if names_claim and has_bytes else "audited, equal within rounding"
        elif names_claim:
            note = "audited by a copy of the claim's digest"
        return AuditVote(
            lease_id=found.lease_id,
            agrees=agrees,
            distance=min(found_apart.weights, _FAR),
            moments=min(found_apart.moments, _FAR),
            note=note,
        )

    def _sketch(
        self, stretch: Stretch, start: Path, claimed: Path, nonce: str, files: Collection[str]
    ) -> dict[str, Sums]:
        config = ModelConfig.from_settings(self._case.run.model)
        begins = state_specs(self._case, config, stretch.start) if stretch.start > 0 else None
        specs = state_specs(self._case, config, stretch.end)
        return sketch_state(claimed, start, nonce, files, specs=specs, start_specs=begins)

    def _make_baits(self, states: ClaimedStates, stretch: Stretch, start: Path, claimed: Path, checks: Checks) -> None:
        """The refused claim's sketches by nonces that are not used yet: an auditor that returns one has copied it."""
        files, begin = states.at_hand(stretch.end), states.audit_start(stretch.start, checks)
        for number in range(_BAITS):
            # The seed is secret: nobody can tell these nonces from others.
            secret = f"bait\n{self._case.seed}\n{self._case.lease.lease_id}\n{number}"
            nonce = hashlib.sha256(secret.encode()).hexdigest()
            sketch = self._sketch(stretch, start, claimed, nonce, files)
            self.baits.append(
                Bait(
                    start_step=stretch.start,
                    end_step=stretch.end,
                    start=begin,
                    nonce=nonce,
                    claim=sketch,
                )
            )
