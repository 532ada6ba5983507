"""Audits through the coordinator's real actions: a cheat, a copier of claims and a no-sayer among honest auditors."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from leg_world import Coordinator, Volunteer, lease_of, running_coordinator
from released_run import expert_task, shard_paths

from paris.coordinator.decisions.observations import AuditReceived, SubmissionReceived, WantReceived
from paris.coordinator.state.model import SubmissionState
from paris.experts.training.commitments import FILES, NO_COMMITMENT, commitment_of, scheduled_folder
from paris.experts.training.leg import HEAD_FOLDER, Head, Leg
from paris.experts.training.replay import Replay, write_public_start
from paris.experts.training.sketch import keyed_digest, sketch_state
from paris.protocol.audits import PARTS, head_of, packed
from paris.protocol.chain import Chain, parse_chain
from paris.protocol.work_records import Audit, Lease

_VERIFY = {"audits": "volunteers", "bait_rate": 1.0, "replay_rate": 0.0}


class Auditor(Volunteer):
    """Has verified work of before, and takes audits."""

    def want(self, state: str = "waiting") -> WantReceived:
        payload = super().want(state).envelope.payload.model_copy(update={"audits": True})
        return WantReceived(self._sealed(payload))

    def audit(self, lease: Lease) -> AuditReceived:
        """Train the stretch again."""
        folder = self.coordinator.run.path / "audits" / lease.lease_id
        start = self._start(lease, folder)
        leg = Leg(until_step=lease.to_step, head=self._head(lease))
        run = self.coordinator.run
        reached = Replay(expert_task(run, 0), leg, folder, run.data).run(shard_paths(run, 0).__getitem__)
        end = scheduled_folder(folder / "snapshots", lease.to_step)
        return self._found(lease, end, start, reached.commitment)

    def copy(self, lease: Lease, claimed: Path) -> AuditReceived:
        """Return what somebody else handed in."""
        start = self._start(lease, self.coordinator.run.path / "copies" / lease.lease_id)
        return self._found(lease, claimed, start, "0" * 64)

    def say_no(self, lease: Lease) -> AuditReceived:
        """Return an invention."""
        ids = lease.model_dump(include={"lease_id", "task_id", "attempt"})
        sketch = packed(dict.fromkeys(PARTS, [1.0] * 64))
        return AuditReceived(self._sealed(Audit(**ids, commitment="0" * 64, digest="0" * 64, sketch=sketch)))

    def _found(self, lease: Lease, end: Path, start: Path, commitment: str) -> AuditReceived:
        nonce, ids = lease.audit.nonce, lease.model_dump(include={"lease_id", "task_id", "attempt"})
        digest, sketch = keyed_digest(end / "ema.safetensors", nonce), packed(sketch_state(end, start, nonce))
        return AuditReceived(self._sealed(Audit(**ids, commitment=commitment, digest=digest, sketch=sketch)))

    def _start(self, lease: Lease, folder: Path) -> Path:
        """Fetch the state that the lease names, or write the public one."""
        if lease.audit.start is None:
            write_public_start(expert_task(self.coordinator.run, 0), self.coordinator.run.data, folder / "public")
            return folder / "public"
        (folder / HEAD_FOLDER).mkdir(parents=True)
        for file in head_of(lease.audit.start, lease.start_step).files:
            found = self.coordinator.hub.download(file.path, folder / "fetched", lease.audit.start.commit)
            (folder / HEAD_FOLDER / found.name).write_bytes(found.read_bytes())
        return folder / HEAD_FOLDER

    def _head(self, lease: Lease) -> Head | None:
        if lease.audit.start is None:
            return None
        record = head_of(lease.audit.start, lease.start_step)
        files = {file.path.rpartition("/")[2].partition(".")[0]: file.sha256 for file in record.files}
        fields = record.model_dump(include={"step", "loss", "previous", "commitment"})
        return Head.from_settings({**fields, "files": files})


class Cheat(Volunteer):
    """Hands in EMA weights that nobody trained, under a chain that fits them."""

    def _hand_in(self, lease: Lease, data: dict[str, bytes], loss: float, commitment: str) -> SubmissionReceived:
        chain, before, links = parse_chain(data["chain.json"]), NO_COMMITMENT, []
        for link in chain.links:
            folder = scheduled_folder(self.work_folder(lease) / "snapshots", link.step)
            (folder / "ema.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
            files = {name: _sha256(folder / f"{name}.safetensors") for name in FILES}
            before = commitment_of(before, chain.task, link.step, files)
            links.append(link.model_copy(update={"files": type(link.files)(**files), "commitment": before}))
        forged = Chain(task=chain.task, start=chain.start, links=tuple(links))
        changed = {"chain.json": forged.to_bytes(), "expert.safetensors": (folder / "ema.safetensors").read_bytes()}
        return super()._hand_in(lease, {**data, **changed}, loss, before)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory):
    with running_coordinator(tmp_path_factory.mktemp("audits"), verify=_VERIFY) as coordinator:
        yield coordinator


def join(coordinator: Coordinator, *auditors: Auditor) -> None:
    """Let auditors ask for work that have verified work of before."""
    coordinator.see(*(auditor.want("busy") for auditor in auditors))
    volunteers = dict(coordinator.state.volunteers)
    for auditor in auditors:
        key = auditor.identity.public_key
        volunteers[key] = volunteers[key].model_copy(update={"num_proven": 100})
    coordinator.state = replace(coordinator.state, volunteers=volunteers)


def audit_of(coordinator: Coordinator, who: Auditor) -> Lease | None:
    """The audit that somebody has."""
    waiting = [audit for audit in coordinator.state.audits.values() if audit.outcome == "waiting"]
    mine = [audit for audit in waiting if audit.volunteer == who.identity.public_key]
    return coordinator.state.leases[mine[0].lease_id].lease if mine else None


def next_audit(coordinator: Coordinator, who: Auditor, worker: Volunteer, known: SubmissionState) -> Lease:
    """Answer what is asked for, until somebody has an audit."""
    for _ in range(6):
        state = coordinator.see(who.want())
        if (lease := audit_of(coordinator, who)) is not None:
            return lease
        waiting = state.submissions[known.submission.lease_id]
        if waiting.challenge is not None:
            coordinator.see(worker.answer(waiting.challenge, waiting.submission.pull_request))
    raise AssertionError(f"no audit: {coordinator.state.submissions[known.submission.lease_id]}")


def work_of(coordinator: Coordinator, lease: Lease) -> SubmissionState:
    return coordinator.state.submissions[lease.lease_id]


def refused_cheat(coordinator: Coordinator, ada: Auditor, ben: Auditor) -> Path:
    """A cheat's leg is refused by two auditors; the state that it claimed."""
    mallory = Cheat(coordinator, "mallory")
    coordinator.see(mallory.want())
    lease = lease_of(coordinator.state)
    join(coordinator, ada)
    coordinator.see(mallory.work(lease), mallory.want("leaving"))
    audit = next_audit(coordinator, ada, mallory, work_of(coordinator, lease))
    assert (audit.start_step, audit.to_step, audit.audit.start) == (0, 10, None)
    coordinator.see(ada.audit(audit), ada.want("leaving"))
    join(coordinator, ben)
    coordinator.see(ben.audit(next_audit(coordinator, ben, mallory, work_of(coordinator, lease))))
    refused = work_of(coordinator, lease)
    assert (refused.phase, refused.verdict.rungs[-1].rung) == ("closed", "replay"), refused.verdict
    assert "steps 0 to 10 trained again" in refused.verdict.reason, "the organiser's machine decides"
    assert {found.outcome for found in coordinator.state.audits.values()} == {"right"}
    return scheduled_folder(mallory.work_folder(lease) / "snapshots", audit.to_step)


def expelled_copier(coordinator: Coordinator, ben: Volunteer, honest: Lease, claimed: Path) -> None:
    """Who returns the refused claim, given a bait, audits no more, nor does who returns an invention."""
    lazy = Auditor(coordinator, "lazy")
    join(coordinator, lazy)
    coordinator.see(ben.work(honest), ben.want("leaving"))
    bait = next_audit(coordinator, lazy, ben, work_of(coordinator, honest))
    coordinator.see(lazy.copy(bait, claimed))
    assert coordinator.state.volunteers[lazy.identity.public_key].copied_at > 0
    coordinator.see(lazy.want())
    assert audit_of(coordinator, lazy) is None
    inventor = Auditor(coordinator, "inventor")
    join(coordinator, inventor)
    coordinator.see(inventor.say_no(next_audit(coordinator, inventor, ben, work_of(coordinator, honest))))
    coordinator.see(inventor.want())
    assert coordinator.state.volunteers[inventor.identity.public_key].num_faults == 1
    assert audit_of(coordinator, inventor) is None
    coordinator.see(inventor.want("leaving"))


def contradicted(coordinator: Coordinator, ben: Volunteer, honest: Lease, ada: Auditor) -> None:
    """One no is no proof: two others decide, and who invented an end has a fault."""
    no = Auditor(coordinator, "no")
    join(coordinator, no)
    coordinator.see(no.audit(next_audit(coordinator, no, ben, work_of(coordinator, honest))))  # a bait
    coordinator.see(no.say_no(next_audit(coordinator, no, ben, work_of(coordinator, honest))))
    coordinator.see(no.want("leaving"))
    assert work_of(coordinator, honest).phase in ("auditing", "challenged")
    coordinator.see(ada.want("busy"))
    coordinator.see(ada.audit(next_audit(coordinator, ada, ben, work_of(coordinator, honest))), ada.want("leaving"))
    cleo = Auditor(coordinator, "cleo")
    join(coordinator, cleo)
    while work_of(coordinator, honest).verdict is None:
        coordinator.see(cleo.audit(next_audit(coordinator, cleo, ben, work_of(coordinator, honest))))
    verified = work_of(coordinator, honest)
    assert verified.verdict.accepted, verified.verdict.reason
    assert "audited, equal in every bit, by ada" in verified.verdict.rungs[-1].note
    assert coordinator.state.volunteers[no.identity.public_key].num_faults == 1


def test_auditors_refuse_a_cheat_and_those_who_copy_or_invent_are_found(coordinator):
    ada, ben = Auditor(coordinator, "ada"), Auditor(coordinator, "ben")
    claimed = refused_cheat(coordinator, ada, ben)
    coordinator.see(ben.want())
    honest = lease_of(coordinator.state)
    assert honest.volunteer == ben.identity.public_key
    expelled_copier(coordinator, ben, honest, claimed)
    contradicted(coordinator, ben, honest, ada)
