"""What a machine declares, and tasks that do not fit it."""

from __future__ import annotations

import pytest
from units import make_unit

from paris.node.errors import TaskTooBigError
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware, detect, require_fit


def test_a_task_that_does_not_fit_says_what_is_missing():
    machine = Hardware("cpu", "small CPU", memory_bytes=2**30, disk_bytes=2**30)
    require_fit(make_unit().task, machine)
    for field, word in (("min_memory_bytes", "memory"), ("min_disk_bytes", "free disk")):
        task = make_unit().task.model_copy(update={field: 4 * 2**30})
        with pytest.raises(TaskTooBigError, match=rf"needs 4\.0 GiB of {word}.*has 1\.0 GiB"):
            require_fit(task, machine)


def test_the_volunteers_limits_are_what_is_declared(tmp_path):
    config = NodeConfig(device="cpu", memory_limit_bytes=2**30, cache_limit_bytes=2**21)
    hardware = detect(config, tmp_path / "not" / "yet")
    assert (hardware.device, hardware.memory_bytes, hardware.disk_bytes) == ("cpu", 2**30, 2**21)
