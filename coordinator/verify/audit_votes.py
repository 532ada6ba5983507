"""Rung 5 where other volunteers audit: a stretch's claimed end against the sketches that auditors made of theirs.

An auditor that reached the claimed end settles it. One that did not is no proof: another is asked. Where these two
differ, a third is: one of them may be the cheat's friend. Where most say that they ended elsewhere, this machine trains
the stretch: any sketch of nothing says so too. Its end decides on the work, on what the auditors said, and is the right
answer of baits.
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
from paris.experts.training.replay import Replay, write_public_start
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
    """What auditors said of one leg, and the baits that come of a refusal.

    Args:
        case: The submission and its context.
        leg: Where it starts.
    """

    def __init__(self, case: VerificationCase, leg: LegStart) -> None:
        self._case, self._leg = case, leg
        self._bound = case.bounds.max_replay(training_config(case).precision)
        # Where this machine trains all, the last verification has compared the audits with the claim.
        self.cast: list[AuditVote] = [] if case.audited or case.earlier is None else list(case.earlier.votes)
        self.baits: list[Bait] = []

    def of(self, stretch: Stretch) -> list[AuditFound]:
        """The audits of a stretch, in the order in which they came."""
        return [found for found in self._case.audits if (found.start, found.end) == stretch]

    def passes(self, states: ClaimedStates, stretch: Stretch, folder: Path, checks: Checks) -> bool:
        """Compare the audits of a stretch with its claimed end, whose files are at hand.

        Args:
            states: Of the leg.
            stretch: One that has audits.
            folder: Of the stretch's files.
            checks: Records the measurements.

        Returns:
            Whether they pass it. Where most ended elsewhere, this machine is to train it: they refuse nothing.

        Raises:
            CheckFailed: The claimed state is not sound; or most ended elsewhere, and the run confirms no refusals.
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
        decided = settled(len(agreeing), len(votes) - len(agreeing))
        if decided is None:
            raise AuditNeeded(stretch, states.audit_start(stretch.start, checks))
        if not decided and self._case.bounds.confirm_refusals:
            return False
        found, vote = agreeing[0] if decided else next(pair for pair in reversed(votes) if not pair[1].agrees)
        note = f"distance from steps {stretch.start} to {stretch.end} as audited by {found.name}, relative to their way"
        checks.at_most("distance", vote.distance, self._bound, note)
        checks.at_most(
            "moments", vote.moments, self._bound, f"distance of the optimizer's moments at step {stretch.end}"
        )
        return True

    def settle(self, stretch: Stretch, replay: Replay) -> None:
        """Say of each audit of a stretch whether it ended where this machine did.

        Args:
            stretch: The stretch.
            replay: Of it, trained.
        """
        truth = {
            found.lease_id: max(apart(replay.sketch(found.nonce), unpacked(found.sketch))) <= self._bound
            for found in self.of(stretch)
        }
        self.cast = [vote.model_copy(update={"is_true": truth.get(vote.lease_id, vote.is_true)}) for vote in self.cast]

    def add_baits(self, states: ClaimedStates, stretch: Stretch, replay: Replay, claimed: Path, checks: Checks) -> None:
        """Make baits of a refused end, by nonces that are not used yet.

        Args:
            states: Of the leg.
            stretch: The stretch.
            replay: Of it, trained.
            claimed: Folder of the claimed end.
            checks: Records the measurements.
        """
        files, begin = states.at_hand(stretch.end), states.audit_start(stretch.start, checks)
        for number in range(_BAITS):
            # The seed is secret: nobody can tell these nonces from others.
            secret = f"bait\n{self._case.seed}\n{self._case.lease.lease_id}\n{number}"
            nonce = hashlib.sha256(secret.encode()).hexdigest()
            self.baits.append(
                Bait(
                    start_step=stretch.start,
                    end_step=stretch.end,
                    start=begin,
                    nonce=nonce,
                    claim=self._sketch(stretch, replay.start(), claimed, nonce, files),
                    right=replay.sketch(nonce),
                )
            )

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
