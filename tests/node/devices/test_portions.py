"""How a machine is divided among the devices that its volunteer names, and what the nodes take from each other."""

from __future__ import annotations

import hashlib

import pytest
from pydantic import ValidationError

from paris.node.devices.offline import requests_of
from paris.node.devices.portions import machine_of, portions
from paris.node.doctor.known import Known
from paris.node.doctor.machine_looks import device
from paris.node.errors import SettingsError
from paris.node.fetching.cache import Cache
from paris.node.join.request import Request
from paris.node.machine.config import NodeConfig
from paris.node.machine.home import Home

GIB = 2**30


def divided(cores: int = 8, **settings: object) -> list[dict]:
    return [part.settings for part in portions(NodeConfig.model_validate(settings), cores, 16 * GIB)]


def test_nodes_are_named_after_their_devices_and_keep_the_name_in_any_order():
    names = {
        device: [part.name for part in portions(NodeConfig(device=device), 8, 16 * GIB)]
        for device in ("cuda,cuda:1", "cuda:1,cuda:0", "cpu,cpu,cpu", "cuda:3,cpu")
    }
    assert names == {
        "cuda,cuda:1": ["cuda:0", "cuda:1"],
        "cuda:1,cuda:0": ["cuda:1", "cuda:0"],
        "cpu,cpu,cpu": ["cpu", "cpu-2", "cpu-3"],
        "cuda:3,cpu": ["cuda:3", "cpu"],
    }


def test_cores_memory_and_limits_are_divided_and_never_more_than_there_are():
    first, second = divided(device="cpu,cpu")
    assert (first["threads"], first["memory_limit_bytes"]) == (4, 8 * GIB)
    assert {name for name, value in second.items() if first.get(name) != value} == {"host_dht", "page_port"}
    assert [part["threads"] for part in divided(2, device="cpu,cpu,cpu")] == [1, 1, 1]
    assert [part["threads"] for part in divided(device="cpu,cpu", threads=3)] == [3, 3]
    (gpu, cpu) = divided(device="cuda:0,cpu", memory_limit_bytes=40 * GIB)
    assert "memory_limit_bytes" not in gpu
    assert cpu["memory_limit_bytes"] == 16 * GIB
    limits = {"download_bytes_per_s": 3000, "hub_upload_bytes_per_s": 2**20, "cache_limit_bytes": 2**30}
    (one, _) = divided(device="cpu,cpu", **limits)
    assert {name: one[name] for name in limits} == {
        "download_bytes_per_s": 1500,
        "hub_upload_bytes_per_s": 2**19,
        "cache_limit_bytes": 2**29,
    }
    assert divided(device="cpu,cpu", download_bytes_per_s=1024)[0]["download_bytes_per_s"] == 1024


def test_only_the_first_node_listens_and_each_has_a_page_of_its_own():
    parts = divided(device="cuda:0,cuda:1", host_dht=True, page_port=8000)
    assert [part.get("host_dht", True) for part in parts] == [True, False]
    assert [part["page_port"] for part in parts] == [8000, 8001]
    assert "page_port" not in divided(device="cpu,cpu", page_port=0)[0]


def test_what_a_node_gets_is_again_a_valid_setting():
    for part in divided(device="cuda:0,cuda:1,cpu", hub_upload_bytes_per_s=2**16, cache_limit_bytes=2**20):
        NodeConfig.model_validate(part)


@pytest.mark.parametrize("device", ["auto,cpu", "cpu,", "cuda:0,,cuda:1", "cpu cpu", ",".join(["cpu"] * 65)])
def test_a_list_that_is_none_is_refused(device):
    with pytest.raises(ValidationError):
        NodeConfig(device=device)


@pytest.mark.parametrize("device", ["cuda:1,cuda:1", "cuda,cuda:0", "mps,mps"])
def test_a_gpu_named_twice_is_refused(device):
    with pytest.raises(SettingsError, match="is named 2 times"):
        portions(NodeConfig(device=device), 8, 16 * GIB)


def test_the_doctor_lists_each_device(tmp_path):
    known = Known(None, Home(tmp_path / "home"), None, {}, NodeConfig(device="cpu,cpu"))
    first, second = device(known)
    assert first.text.startswith("cpu (")
    assert second.text.startswith("cpu-2 (")
    assert known.config.device == "cpu", "later looks are at the first"
    assert known.hardware is not None
    assert not known.home.path.exists()


def test_homes_of_devices_are_found_by_the_names_of_their_nodes(tmp_path):
    home, config = Home(tmp_path), NodeConfig(device="cpu,cpu")
    parts = portions(config, 2, 2 * GIB)
    for part in parts:
        machine_of(part, config, home).home.path.mkdir(parents=True)
    home.of_device("cuda:12").path.mkdir()
    assert {name: each.path for name, each in home.of_devices().items()} == {
        "cpu": tmp_path / "devices" / "cpu",
        "cpu-2": tmp_path / "devices" / "cpu-2",
        "cuda:12": tmp_path / "devices" / "cuda-12",
    }


def test_without_unfinished_work_a_command_is_for_the_home_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("PARIS_NODE_DEVICE", "cuda:0,cuda:1")
    Home(tmp_path).of_device("cuda:0").path.mkdir(parents=True)
    (request,) = requests_of(Request("org/repo", tmp_path, None, {})).values()
    assert (request.home, request.run) == (tmp_path, "org/repo")
    assert request.config().devices == ("cpu",), "nothing is trained, so no GPU is looked for"


def test_a_file_that_another_node_has_is_taken_over_without_a_second_copy(tmp_path):
    first = Cache(tmp_path / "cpu")
    second = Cache(tmp_path / "cpu-2", None, [tmp_path / "nowhere", first.path])
    sha256 = hashlib.sha256(b"a shard").hexdigest()
    assert second.find(sha256, 7) is None
    first.file(sha256).write_bytes(b"a shard")
    path = second.find(sha256, 7)
    assert path == second.file(sha256)
    assert path.stat().st_ino == first.file(sha256).stat().st_ino
    second.make_room(0, keep=())
    first.file(sha256).unlink()
    assert second.find(sha256, 7).read_bytes() == b"a shard", "what one removes, the other keeps"


def test_a_damaged_file_of_another_node_is_not_taken(tmp_path):
    first, sha256 = Cache(tmp_path / "cpu"), hashlib.sha256(b"a shard").hexdigest()
    first.file(sha256).write_bytes(b"a spade")
    second = Cache(tmp_path / "cpu-2", None, [first.path])
    assert second.find(sha256, 7) is None
    assert not second.file(sha256).exists()
