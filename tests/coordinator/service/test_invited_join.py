"""`paris-coord invite` prints a command that a newcomer can run; its invite reaches the decisions by way of a peer."""

from __future__ import annotations

import shlex
import time
from types import SimpleNamespace

import pytest
import typer.testing

from paris.coordinator.cli.app import app
from paris.coordinator.decisions.policy import Policy
from paris.coordinator.decisions.tick import tick
from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.service.swarm import DhtWay
from paris.coordinator.service.ways import Ways
from paris.coordinator.state.model import State
from paris.node.swarm.invite import find_invite
from paris.protocol.envelope import Envelope
from paris.protocol.keys import dht_key, part_of, subkey_of
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity
from paris.protocol.validator import Accepted, RecordJudge
from paris.protocol.work_records import Want


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return create_run(tmp_path_factory.mktemp("a run") / "run", recipe="emoji-quick")


def invited(run: RunDir, *options: str) -> tuple[str, list[str]]:
    """What `paris-coord invite` says, and the words of the command in it."""
    result = typer.testing.CliRunner().invoke(app, ["invite", str(run.path), *options])
    assert result.exit_code == 0, result.output
    said, command = result.stderr.strip().splitlines()
    return said, shlex.split(command)


@pytest.mark.parametrize(("options", "number"), [((), "1 volunteer,"), (("--uses", "2"), "2 volunteers,")])
def test_it_says_for_how_many_and_names_the_run_file_of_an_embedded_hub(run, options, number):
    said, words = invited(run, *options)
    assert number in said
    assert words[:-1] == ["paris-node", "join", str(run.run_json), "--invite"]


@pytest.mark.parametrize(
    ("endpoint", "flags"),
    [
        ("https://huggingface.co", []),
        ("https://hub.example.org", ["--hub-endpoint", "https://hub.example.org"]),
        ("http://192.0.2.1:80", ["--hub-endpoint", "http://192.0.2.1:80", "--allow-plain-http"]),
    ],
)
def test_a_run_on_another_hub_is_joined_by_its_repo(run, endpoint, flags):
    hub = run.config.hub.model_copy(update={"endpoint": endpoint, "embedded": False})
    elsewhere = RunDir(run.path, run.config.model_copy(update={"hub": hub}), run.identity)
    assert shlex.split(elsewhere.join_command) == ["paris-node", "join", hub.model_repo, *flags]


def test_an_embedded_hub_without_encryption_needs_the_flag(run):
    hub = run.config.hub.model_copy(update={"endpoint": "http://192.0.2.1:80"})
    reachable = RunDir(run.path, run.config.model_copy(update={"hub": hub}), run.identity)
    assert shlex.split(reachable.join_command) == ["paris-node", "join", str(run.run_json), "--allow-plain-http"]


def test_the_help_shows_the_setting_as_it_is_written():
    text = typer.testing.CliRunner().invoke(app, ["invite", "--help"]).output
    assert "[tasks] allowed_only = true" in " ".join(text.split())


def test_who_joins_with_it_is_allowed_and_who_copies_it_out_of_the_want_is_not(run, tmp_path):
    text = invited(run)[1][-1]
    description = SimpleNamespace(run_id=run.run_id, signer=run.identity.public_key)
    held = find_invite(tmp_path / "invite", text, description)
    ada, mallory = Identity.generate(), Identity.generate()
    longest = "\u00e9" * 80
    want = Want(
        name=longest,
        device=longest,
        memory_bytes=2**50,
        disk_bytes=2**50,
        state="waiting",
        node_version=longest,
        work="0" * 16,
        invite=held.envelope.data.decode(),
        invite_proof=held.proof_for(ada.public_key),
    )
    judge = RecordJudge(run.run_id, run.identity.public_key, time.time)

    def judged(envelope: Envelope) -> bool:
        place = dht_key(run.run_id, "want", part_of(envelope.payload, envelope.signer, 1))
        subkey = subkey_of(envelope.payload, envelope.signer)
        return isinstance(judge.judge(place, subkey, envelope.data, envelope.expires_at), Accepted)

    def observed(*envelopes: Envelope):
        peer = SimpleNamespace(read_all=lambda kind, buckets: envelopes if kind == "want" else [])
        way = DhtWay(SimpleNamespace(num_buckets=1, heartbeat_every_s=60.0), SimpleNamespace(current=peer), None)
        return list(Ways(None, [], [way]).observations())

    own, copied = (Sealer(who, run.run_id).seal(want, 60.0) for who in (ada, mallory))
    assert judged(own)
    assert not judged(copied)
    policy = Policy(lease_s=600, heartbeat_every_s=10, want_life_s=60, train_router_after=2, allowed_only=True)
    state = tick(State(), observed(own, copied), policy, time.time()).state
    assert {key: standing.standing for key, standing in state.standings.items()} == {ada.public_key: "allowed"}
