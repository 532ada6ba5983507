"""A module that is not installed leads to the extra that has it."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires

from deadlines import DEADLINE_S
from empty_environment import NAME

from paris.experts.installed import missing_module


def test_each_module_of_an_extra_leads_to_that_extra() -> None:
    """By the modules that the installed distributions really bring."""
    modules, wrong, looked_at = packages_distributions(), [], 0
    for requirement in requires(NAME) or []:
        extra = re.search(r"extra == [\"'](\w+)[\"']", requirement)
        distribution = re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0].lower()
        if distribution == NAME:  # an extra that takes another one along
            continue
        brought = [name for name, owners in modules.items() if distribution in (owner.lower() for owner in owners)]
        for module in brought if extra is not None and extra[1] not in ("dev", "docs") else []:
            if not module.startswith("_") and module not in ("mpl_toolkits", "pylab"):  # nothing imports these
                error, looked_at = missing_module(ModuleNotFoundError(name=f"{module}.inner")), looked_at + 1
                if error is None or f"'{NAME}[{extra[1]}]'" not in error.next_step:
                    wrong.append(f"{module} of {requirement}: {error}")
    assert wrong == []
    assert looked_at >= 11


def test_a_module_of_the_package_itself_asks_for_the_package_and_an_unknown_one_is_a_defect() -> None:
    broken = missing_module(ModuleNotFoundError(name="torch.nn"))
    assert broken is not None
    assert broken.next_step == "Install it: pip install paris-swarm"
    assert missing_module(ModuleNotFoundError(name="no_such_module")) is None
    assert missing_module(ModuleNotFoundError(name="paris.no_such_module")) is None
    assert missing_module(ImportError("libcuda.so is broken", name="torch")) is None
    probe = "from paris.coordinator.console import fail_worker; fail_worker(lambda: __import__('no_such_module'))"
    answer = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert answer.returncode == 1
    assert "This is a defect" in answer.stderr
