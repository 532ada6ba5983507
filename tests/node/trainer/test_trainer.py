"""The trainer as the process that it is."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from mini_coordinator import MODEL, SHARD_ROWS, TRAINING, write_cluster

from paris.experts.frozen.text_vocabulary import write_vocabulary
from paris.node.errors import StoppedError, TrainerError
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware
from paris.node.trainer import PROCESS_MODULE
from paris.node.trainer.order import Order, ShardFile
from paris.node.trainer.supervisor import TrainingProcess, supervise
from paris.node.work.order import machine_settings

RUNNER = """
import json, sys
from pathlib import Path
from paris.node.trainer.order import Order
from paris.node.trainer.supervisor import TrainingProcess
process = TrainingProcess()
process.start()
process.begin(Order.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
print(process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cluster(folder, 0)
    write_vocabulary(folder / "vocab.json", ["cat", "red"])
    return folder


@pytest.fixture
def make_order(data, tmp_path):
    def make(steps: int, **changes) -> Order:
        paths = sorted((data / "shards" / "cluster-000").iterdir())
        values = {
            "run_id": "tiny-0123456789abcdef",
            "task_id": "expert-0",
            "seed": 3,
            "steps": steps,
            "batch_size": 4,
            "model": MODEL,
            "training": TRAINING,
            "text": {"kind": "vocabulary", "dim": 8, "max_tokens": 4},
            "codec": {"kind": "pixels"},
            "shards": tuple(ShardFile(path=str(path), rows=n) for path, n in zip(paths, SHARD_ROWS, strict=True)),
            "text_folder": str(data),
            "work": str(tmp_path / "work"),
            "device": "cpu",
            "threads": 1,
        }
        return Order(**{**values, **changes})

    return make


def test_the_trainers_module_can_be_found_and_run():
    assert importlib.util.find_spec(PROCESS_MODULE) is not None
    command = [sys.executable, "-m", PROCESS_MODULE, "0"]
    without_agent = subprocess.run(command, stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=False)
    assert without_agent.returncode == 3


def no_wait(seconds: float) -> None:
    """Time is not what is tested."""


@pytest.mark.slow
def test_a_trainer_dies_with_its_agent(make_order, tmp_path):
    import psutil

    order = make_order(100_000)
    command = [sys.executable, "-c", RUNNER, order.model_dump_json(), str(tmp_path / "log")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as agent:
        trainer = psutil.Process(int(agent.stdout.readline()))
        assert trainer.is_running()
        agent.kill()
        agent.wait(DEADLINE_S)
    psutil.wait_procs([trainer], timeout=DEADLINE_S)
    assert not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE


@pytest.mark.slow
def test_a_stop_saves_a_snapshot_and_wrong_settings_or_those_of_another_task_are_never_tried_again(
    make_order, tmp_path
):
    seen: list[dict] = []

    def check() -> None:
        if any(event["event"] == "progress" and event["step"] >= 10 for event in seen):
            raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        supervise(make_order(100_000), tmp_path / "log", on_event=seen.append, check=check, pause=no_wait)
    assert list((tmp_path / "work" / "snapshots").glob("pause-*"))

    seen.clear()
    wrong = make_order(10, model={**MODEL, "layers": 3})
    with pytest.raises(TrainerError, match="layers") as caught:
        supervise(wrong, tmp_path / "log", on_event=seen.append, check=lambda: None, pause=no_wait)
    assert caught.value.next_step
    assert seen == []

    with pytest.raises(TrainerError, match="of another task or of other settings") as caught:
        supervise(
            make_order(100_000, seed=4), tmp_path / "log", on_event=seen.append, check=lambda: None, pause=no_wait
        )
    assert "given back" in caught.value.next_step
    assert list((tmp_path / "work" / "snapshots").glob("pause-*"))


def test_a_trainer_that_dies_three_times_without_a_step_is_given_up(make_order, tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("import os; os.write(2, b'no memory'); os._exit(9)\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    seen: list[dict] = []
    with pytest.raises(TrainerError, match=r"3 times without progress \(exit code 9: no memory") as caught:
        supervise(make_order(10), tmp_path / "log", on_event=seen.append, check=lambda: None, pause=no_wait)
    assert [event["deaths"] for event in seen] == [1, 2]
    assert str(tmp_path / "log") in caught.value.next_step


def test_a_trainer_whose_wait_ends_as_its_order_comes_is_no_death(make_order, tmp_path, monkeypatch):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "torch.py").write_text(
        "import os\ngate = os.environ.get('GATE')\nif gate:\n    open(gate).read()\nos._exit(0 if gate else 9)\n",
        "utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("GATE", str(gate))
    late = TrainingProcess()
    late.start()
    monkeypatch.delenv("GATE")
    seen: list[dict] = []

    def check() -> None:
        if gate.exists():  # the order is on its way
            gate.write_bytes(b"")
            gate.unlink()

    def stop(seconds: float) -> None:
        raise StoppedError("Stopped.")

    with pytest.raises(StoppedError):
        supervise(make_order(10), tmp_path / "log", on_event=seen.append, check=check, pause=stop, first=late)
    assert [(event["deaths"], event["code"]) for event in seen] == [(1, 9)], "only the next one, which did not wait"


def test_the_trainer_refuses_itself_every_internet_socket_and_counts():
    code = """
import json, socket
from paris.node.trainer.process import NetworkGuard
guard = NetworkGuard()
guard.install()
pair = socket.socketpair()
pair[0].send(b"x")
refused = []
def attempt(name, call):
    try:
        call()
    except PermissionError:
        refused.append(name)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
attempt("connect", lambda: socket.create_connection(("127.0.0.1", 9)))
attempt("bind", lambda: socket.socket().bind(("127.0.0.1", 0)))
attempt("sendto", lambda: udp.sendto(b"x", ("127.0.0.1", 9)))
attempt("name", lambda: socket.getaddrinfo("example.org", 80))
attempt("ip6", lambda: socket.socket(socket.AF_INET6).connect(("::1", 9)))
print(json.dumps([refused, guard.num_refused]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    refused, count = json.loads(done.stdout)
    assert refused == ["connect", "bind", "sendto", "name", "ip6"]
    assert count == 5


def test_the_token_never_reaches_the_trainer(make_order, tmp_path, monkeypatch):
    spy = tmp_path / "spy"
    spy.mkdir()
    (spy / "torch.py").write_text("import os; print(sorted(os.environ)); os._exit(9)\n", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(spy))
    monkeypatch.setenv("PARIS_HUB_TOKEN", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    with pytest.raises(TrainerError) as caught:
        supervise(make_order(10), tmp_path / "log", on_event=lambda event: None, check=lambda: None, pause=no_wait)
    log = (tmp_path / "log").read_text("utf-8")
    assert "'PATH'" in log
    assert "TOKEN'" not in log.replace("'TOKENIZERS_PARALLELISM'", "")
    assert "secret" not in str(caught.value)


def test_what_a_volunteer_chose_reaches_the_training_and_the_memory_limit_only_on_a_cpu(make_order, tmp_path):
    config = NodeConfig(micro_batch_size=3, checkpointing=True)
    chosen = machine_settings(config, Hardware("cpu", "some CPU", memory_bytes=2**33, disk_bytes=1))
    assert chosen == {"micro_batch_size": 3, "checkpointing": True, "compile": False, "memory_limit_bytes": 2**33}
    assert set(machine_settings(NodeConfig(), Hardware("cuda", "A40", 2**35, 1))) == {"checkpointing", "compile"}
    seen: list[dict] = []
    order = make_order(4, machine=chosen)
    end = supervise(order, tmp_path / "log", on_event=seen.append, check=lambda: None, pause=no_wait)
    assert end["steps"] == 4
    with pytest.raises(TrainerError, match="turbo"):
        supervise(
            make_order(4, machine={"turbo": True}),
            tmp_path / "log",
            on_event=seen.append,
            check=lambda: None,
            pause=no_wait,
        )
