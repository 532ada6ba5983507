"""Tests that start libp2p's daemon are found, and skipped with the reason where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from daemon_marks import HERE, starts_daemon
from deadlines import DEADLINE_S

DIRECTLY = "protocol/test_dht_failures.py::test_a_start_that_takes_too_long_leaves_nothing_behind"
NEVER = "protocol/test_protocol_signing.py::test_a_signature_does_not_hold_for_another_key"


@pytest.mark.parametrize(
    ("place", "starts"),
    [
        (DIRECTLY, True),
        ("protocol/test_dht_peer.py::test_every_peer_is_healthy", True),
        ("node/devices/test_several_devices.py::test_one_join_is_a_node_for_each_device_and_ends_as_one", True),
        ("swarm/test_whole_run.py::test_the_trainer_opened_no_network_socket", True),
        (NEVER, False),
        ("node/devices/test_portions.py::test_the_doctor_lists_each_device", False),
        ("node/hub/test_sending.py::test_a_later_try_begins_with_the_files_that_went_out_whole", False),
    ],
)
def test_what_a_test_leads_to_decides(place, starts):
    file, _, test = place.partition("::")
    assert f"def {test}(" in (HERE / file).read_text("utf-8")
    assert starts_daemon(HERE / file, test) == starts


def without_daemon(folder: Path) -> dict[str, str]:
    """An environment whose hivemind has no p2pd, as on a system for which there is no wheel."""
    installed = Path(find_spec("hivemind").submodule_search_locations[0])
    shown = folder / "hivemind"
    (shown / "hivemind_cli").mkdir(parents=True)
    for path in installed.iterdir():
        if path.name != "hivemind_cli":
            (shown / path.name).symlink_to(path)
    for path in (installed / "hivemind_cli").iterdir():
        if path.name != "p2pd":
            (shown / "hivemind_cli" / path.name).symlink_to(path)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))}


@pytest.mark.long
def test_without_a_daemon_its_tests_are_skipped_with_the_reason_and_the_others_run(tmp_path):
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *(str(HERE / place) for place in (DIRECTLY, NEVER))],
        cwd=HERE.parent,
        env=without_daemon(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert "it starts p2pd, and hivemind has none for this system" in done.stdout
