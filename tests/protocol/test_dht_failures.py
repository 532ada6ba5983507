"""Failures of peers, daemons, ports, identities and clocks; all of them real."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from deadlines import DEADLINE_S
from protocol_samples import LEASE, STRANGER, VOLUNTEER, WANT
from protocol_samples import RUN as SAMPLE_RUN
from protocol_swarm import Child, daemons_of, eventually, is_running, sealed_now, start_peer

from paris.protocol.addresses import ipv4_first, require_free_port, split_peer_address
from paris.protocol.dht.loop import LoopThread
from paris.protocol.dht.node import _typed_error
from paris.protocol.errors import (
    AddressError,
    ClockError,
    DaemonError,
    IdentityError,
    NoPeersError,
    PortTakenError,
    RecordError,
    SlowStartError,
    UnreachableError,
)
from paris.protocol.run_peer import NetworkOptions

RUN = SAMPLE_RUN.model_copy(update={"initial_peers": ()})
DEAD_ID = "12D3KooWDD9CfZNQaVRiD8YEV53FBrdHiNVGSSkVNVmx9m2M9p1T"


def dead_address():
    """An address on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"/ip4/127.0.0.1/tcp/{probe.getsockname()[1]}/p2p/{DEAD_ID}"


def port_of(peer):
    return int(peer.addresses[0].split("/")[4])


@pytest.fixture(scope="module")
def first():
    with start_peer() as peer:
        yield peer


def test_one_dead_initial_peer_among_live_ones_does_not_stop_a_join(first):
    with start_peer(initial_peers=[dead_address(), "nonsense", *first.addresses], client_mode=True) as peer:
        assert peer.num_neighbours >= 1
        assert peer.publish(sealed_now(WANT), 1)


def test_when_no_initial_peer_answers_the_error_names_each_and_nothing_is_left(first):
    before = daemons_of()
    dead = [dead_address(), dead_address()]
    started = time.monotonic()
    with pytest.raises(NoPeersError) as caught:
        start_peer(initial_peers=[*dead, "/ip4/127.0.0.1/tcp/1"], client_mode=True)
    assert time.monotonic() - started < 10
    assert all(address in caught.value.what for address in dead)
    assert "connection refused" in caught.value.what
    assert "'/ip4/127.0.0.1/tcp/1' is not the address of a peer" in caught.value.what
    assert caught.value.next_step
    assert caught.value.exit_code == 8
    assert daemons_of() == before


def test_an_address_of_somebody_else_is_not_believed(first):
    impostor = first.addresses[0].replace(first.peer_id, DEAD_ID)
    with pytest.raises(NoPeersError, match="mismatch"):
        start_peer(initial_peers=[impostor], client_mode=True)


def test_a_port_that_another_peer_listens_on_is_taken(first):
    listen = f"/ip4/127.0.0.1/tcp/{port_of(first)}"
    with pytest.raises(PortTakenError, match=listen) as caught:
        start_peer(listen=[listen])
    assert "another port" in caught.value.next_step


def test_a_port_that_another_program_listens_on_is_taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with pytest.raises(PortTakenError):
            require_free_port(f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}", wait_s=0)


@pytest.mark.parametrize("listen", ["/ip4/192.0.2.1/tcp/31337", "/ip4/no.such.address/tcp/31337"])
def test_an_address_that_is_not_this_machines_is_refused(listen):
    with pytest.raises(AddressError, match="Cannot listen"):
        require_free_port(listen)


@pytest.mark.parametrize("listen", ["/ip4/127.0.0.1/udp/{}/quic-v1", "/ip6/::1/tcp/{}", "/ip4/127.0.0.1/tcp/0"])
def test_other_transports_and_any_port_are_left_to_libp2p(listen):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        require_free_port(listen.format(port), wait_s=0)
        with pytest.raises(PortTakenError):
            require_free_port(f"/ip4/127.0.0.1/tcp/{port}", wait_s=0)


def test_a_listen_address_that_libp2p_does_not_know_is_an_error_that_says_so():
    with pytest.raises(DaemonError, match="did not start"):
        start_peer(listen=["/ip4/127.0.0.1/smoke/5"])


def test_a_start_that_takes_too_long_leaves_nothing_behind():
    before = daemons_of()
    with pytest.raises(SlowStartError, match="within"):
        start_peer(startup_timeout_s=0.05)
    assert eventually(lambda: daemons_of() == before)


@pytest.mark.parametrize(
    "address", ["", "/p2p/", "12D3", "/ip4/1.2.3.4/tcp/5", "/ip4/1.2.3.4/tcp/5/p2p/a/b", "x/p2p/y"]
)
def test_what_is_not_the_address_of_a_peer_is_refused(address):
    with pytest.raises(AddressError, match="is not the address"):
        split_peer_address(address)


def test_ipv6_is_dialled_last():
    assert ipv4_first(["/ip6/::1/tcp/1", "/dns4/a/tcp/1", "/ip4/1.1.1.1/tcp/1"])[-1] == "/ip6/::1/tcp/1"


def test_an_impossible_run_id_is_refused_before_anything_starts():
    with pytest.raises(RecordError, match="not a run id"):
        start_peer(run_id="../../etc")


def test_an_identity_that_is_in_use_is_refused(tmp_path):
    path = tmp_path / "keys" / "peer.id"
    with start_peer(identity_path=path) as peer:
        with pytest.raises(IdentityError, match="in use"):
            start_peer(identity_path=path, initial_peers=peer.addresses)
        assert len([1 for command in daemons_of().values() if f"-id={path}" in command]) == 1
    assert path.stat().st_mode & 0o077 == 0


def test_an_identity_file_that_is_no_key_is_refused(tmp_path):
    path = tmp_path / "peer.id"
    path.write_bytes(b"nonsense")
    with pytest.raises(IdentityError):
        start_peer(identity_path=path)
    assert path.read_bytes() == b"nonsense"


def test_a_restarted_coordinator_is_the_same_peer_and_its_volunteers_find_it_again(tmp_path):
    path = tmp_path / "peer.id"
    coordinator = start_peer(identity_path=path)
    listen = [f"/ip4/127.0.0.1/tcp/{port_of(coordinator)}"]
    peer_id, addresses = coordinator.peer_id, coordinator.addresses
    with start_peer(initial_peers=addresses, client_mode=True) as client:
        assert coordinator.publish(sealed_now(RUN), 1)
        assert len(client.read("run")) == 1
        coordinator.stop()
        assert client.read("run") == []
        assert not client.healthy()
        assert not client.publish(sealed_now(WANT), 4)
        with start_peer(identity_path=path, listen=listen, initial_peers=addresses) as again:
            assert (again.peer_id, again.addresses) == (peer_id, addresses)
            envelope = sealed_now(RUN)
            assert again.publish(envelope, 1)
            assert eventually(lambda: client.read("run") == [envelope])
            assert client.publish(sealed_now(WANT), 4)
            assert client.healthy()


def test_records_survive_the_peer_that_published_them(first):
    publisher = start_peer(initial_peers=first.addresses)
    envelope = sealed_now(LEASE)
    assert publisher.publish(envelope, 1)
    publisher.stop()
    with start_peer(initial_peers=first.addresses, client_mode=True) as client:
        assert envelope in client.read("lease")


def test_a_peer_whose_daemon_was_killed_says_so_and_can_be_stopped(first):
    peer = start_peer(initial_peers=first.addresses)
    assert peer.publish(sealed_now(WANT, VOLUNTEER), 4)
    unix_socket = Path(peer._node.daemon.p2p._daemon_listen_maddr["unix"])
    os.kill(peer._node.daemon.p2p._child.pid, signal.SIGKILL)
    assert eventually(lambda: not peer.healthy())
    assert not peer.publish(sealed_now(WANT, STRANGER), 4)
    assert peer.read("want", 0) == []
    assert unix_socket.exists()
    peer.stop()
    assert not unix_socket.exists()


@pytest.mark.slow
def test_a_peer_that_was_cut_off_publishes_again_afterwards(first):
    with start_peer(initial_peers=first.addresses) as cut_off:
        daemon = cut_off._node.daemon.p2p._child.pid
        os.kill(daemon, signal.SIGSTOP)
        try:
            assert not cut_off.publish(sealed_now(WANT), 4, timeout_s=2)
            elsewhere = sealed_now(LEASE.model_copy(update={"attempt": 9}))
            first.publish(elsewhere, 1)
        finally:
            os.kill(daemon, signal.SIGCONT)
        again = sealed_now(WANT)
        assert eventually(lambda: cut_off.publish(again, 4))
        assert eventually(lambda: again in first.read_all("want", 4))
        assert eventually(lambda: elsewhere in cut_off.read("lease"))


@pytest.mark.parametrize("how", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_the_daemon_ends_with_its_process_however_that_ends(how):
    child = Child("say(peer.addresses[0]); sys.stdin.read()")
    child.line()
    ((daemon, command),) = daemons_of(child.process.pid).items()
    (unix_socket,) = [part.removeprefix("-listen=/unix") for part in command if part.startswith("-listen=")]
    assert Path(unix_socket).exists()
    os.kill(child.process.pid, how)
    child.process.wait(DEADLINE_S)
    assert eventually(lambda: not is_running(daemon))
    assert eventually(lambda: not Path(unix_socket).exists())
    child.end()


@pytest.mark.slow
def test_a_process_that_forgets_to_stop_its_peer_ends_silently_and_leaves_no_daemon(tmp_path):
    child = Child("say(peer.addresses[0])", identity_path=tmp_path / "peer.id", before="from pathlib import PosixPath")
    assert child.line().startswith("/ip4/127.0.0.1/tcp/")
    child.process.wait(DEADLINE_S)
    assert child.end() == "", "hivemind's own lines must not reach users"
    assert child.process.returncode == 0


@pytest.mark.slow
def test_ctrl_c_leaves_the_daemon_to_the_process_that_says_goodbye(first):
    child = Child(
        """
try:
    say(peer.peer_id)
    sys.stdin.read()
except KeyboardInterrupt:
    say(peer.healthy())
    peer.stop()
    say("stopped")
""",
        initial_peers=first.addresses,
    )
    child.line()
    os.killpg(child.process.pid, signal.SIGINT)
    assert child.line() == "True"
    assert child.line() == "stopped"
    assert child.end() == ""


@pytest.mark.slow
def test_a_clock_that_is_wrong_is_called_wrong():
    late = "import time, hivemind.dht.protocol as p; p.get_dht_time = lambda: time.time() + 10"
    child = Child("say(peer.addresses[0]); sys.stdin.read()", before=late)
    address = child.line()
    with pytest.raises(ClockError, match="differ by more than 3 s") as caught:
        start_peer(initial_peers=[address], client_mode=True)
    assert "NTP" in caught.value.next_step
    child.end()


def test_a_full_peer_that_cannot_be_dialled_is_told_to_join_as_a_client():
    error = _typed_error(ValueError("Peer X can't access this node."), "/ip4/1.2.3.4/tcp/5/p2p/x")
    assert isinstance(error, UnreachableError)
    assert "client" in error.next_step


def test_the_protocol_is_imported_without_hivemind_and_torch():
    script = """
import sys
import paris.protocol.validator, paris.protocol.leases, paris.protocol.manifest, paris.protocol.dht.peer
heavy = {"hivemind", "torch", "numpy", "huggingface_hub"} & set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr


def test_two_peers_of_one_process_have_nothing_in_common(first):
    with start_peer(initial_peers=first.addresses) as one, start_peer(initial_peers=first.addresses) as other:
        assert len({first.peer_id, one.peer_id, other.peer_id}) == 3
        one.stop()
        assert other.publish(sealed_now(LEASE.model_copy(update={"attempt": 8})), 1)


@pytest.mark.parametrize(
    "address", ["/ip4/127.0.0.1/udp/0/quic", "/ip4/127.0.0.1/udp/4001/quic-v1", "/ip6/::1/udp/0/quic-v1/webtransport"]
)
def test_quic_is_refused_to_listen_on_to_announce_and_to_dial(address):
    for options in ({"listen": [address]}, {"network": NetworkOptions(announce=(address,))}):
        with pytest.raises(AddressError, match=r"QUIC.*Use TCP"):
            start_peer(**options)
    with pytest.raises(AddressError, match="QUIC"):
        split_peer_address(f"{address}/p2p/{DEAD_ID}")


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's")
def test_the_daemons_memory_is_capped_and_it_gets_no_token(monkeypatch):
    monkeypatch.setenv("PARIS_HUB_TOKEN", "secret-of-the-volunteer")
    others = set(psutil.Process().children())
    with start_peer():
        started = set(psutil.Process().children()) - others
        (daemon,) = (child for child in started if "p2pd" in child.name())
        assert daemon.rlimit(psutil.RLIMIT_DATA) == (1 << 30, 1 << 30)
        environ = daemon.environ()
    assert int(environ["GOMEMLIMIT"]) < 1 << 30
    assert "PARIS_HUB_TOKEN" not in environ


def test_a_thread_whose_tasks_do_not_end_in_time_is_closed_without_an_error(monkeypatch):
    monkeypatch.setattr("paris.protocol.dht.loop._CLOSE_TIMEOUT_S", 0.01)
    thread = LoopThread("busy")

    async def ignore_the_first_cancellation(started, may_end):
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await may_end.wait()

    async def start():
        started = asyncio.Event()
        task = asyncio.create_task(ignore_the_first_cancellation(started, asyncio.Event()))
        await started.wait()
        return task

    task = thread.call(start(), timeout_s=DEADLINE_S)
    thread.close()
    assert task.cancelling() >= 1
    assert not thread._thread.is_alive()


@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_start_that_takes_too_long_is_said_to_even_where_the_end_takes_too_long(monkeypatch):
    monkeypatch.setattr("paris.protocol.dht.loop._CLOSE_TIMEOUT_S", 0.0)
    others = daemons_of().keys()
    with pytest.raises(SlowStartError, match="did not start within 0 s"):
        start_peer(startup_timeout_s=0.05)
    assert eventually(lambda: not daemons_of().keys() - others)


def test_a_peer_that_does_not_stop_in_time_is_stopped_by_force(monkeypatch):
    others = daemons_of().keys()
    peer = start_peer()
    assert daemons_of().keys() - others
    monkeypatch.setattr("paris.protocol.dht.peer._STOP_TIMEOUT_S", 0.0)
    peer.stop()
    assert not daemons_of().keys() - others
