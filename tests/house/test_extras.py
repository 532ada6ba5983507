"""Each form of `pip install`, in an environment of its own: every command works, or names the extra that it needs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
import typer
from deadlines import DEADLINE_S
from empty_environment import NAME, build_wheel, make_environment

from paris.coordinator.cli.app import app as coord_app
from paris.coordinator.run.config import dump_config, load_recipe
from paris.coordinator.run.create import create_run
from paris.experts.errors import MissingModuleError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.installed import missing_module
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import PRESETS
from paris.experts.models.router import initial_router
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.single import smallest_router
from paris.node.cli import app as node_app

HERE = Path(__file__).parent
FORMS = {"plain": (), "coordinator": ("coordinator",), "demo": ("demo",), "both": ("coordinator", "demo")}
COORD, NODE = "paris.coordinator.cli.app", "paris.node.cli"
CASES = [("plain", COORD), ("plain", NODE)]
MORE_CASES = [("coordinator", COORD), ("coordinator", NODE), ("demo", COORD), ("both", COORD)]
ORGANISERS = {"demo", "distill", "gc", "init", "prepare", "publish-tasks", "release", "report", "serve"}
"""What takes the libraries of the organiser's extra."""
LEFT_OUT = ("demo", "sample", "warm-start", "reference", "distill")
"""In the form between plain and both: `demo` runs the others in processes; the rest take seconds to import torch."""
WORK = {NODE: {"status", "gc", "identity show"}, COORD: {"recipes", "sample"}}
"""What is done, and not refused, with `arguments_of`."""
MISSING = MissingModuleError.exit_code
_INSTALL = re.compile(r"pip install 'paris-swarm\[(\w+)\]'")


def arguments_of(folder: Path) -> dict[str, dict[str, list[str]]]:
    """What each command of each program is given: enough for it to begin."""
    run, home, model = str(folder / "run"), ["--home", str(folder / "home")], str(folder / "model")
    on_run = (
        "clusters",
        "dropped",
        "warm-start",
        "publish-tasks",
        "serve",
        "status",
        "leaderboard",
        "gc",
        "notify",
        "train-router",
        "pause",
        "unpause",
    )
    return {
        COORD: {
            **{name: [run] for name in (*on_run, "reference", "release", "distill", "prepare", "check-config", "plan")},
            **{name: [run, "ada"] for name in ("allow", "ban")},
            **{name: [run, "expert-0"] for name in ("revoke", "unregister")},
            "invite": [run],
            "invites": [run],
            "withdraw-invite": [run, "5e" * 16],
            "roll-back": [run, "expert-0", "--to", "0"],
            "init": [str(folder / "new")],
            "browse": [run],
            "recipes": [],
            "hub": ["--data", str(folder / "hub"), "--host", "192.0.2.1"],
            "sample": ["--model", model, "--out", str(folder / "grid.png"), "--device", "cpu", "--seeds", "1"],
            "report": [run, "--out", str(folder / "report")],
            "demo": ["--out", run],
        },
        NODE: {
            **{name: ["nowhere", *home] for name in ("join", "hand-in", "leave", "doctor", "check")},
            **dict.fromkeys(("status", "credits", "log", "gc", "identity show"), home),
            **dict.fromkeys(("pause", "resume", "finish"), home),
            **{f"identity {name}": [str(folder / "copy"), *home] for name in ("backup", "restore")},
        },
    }


def names(command: Any, above: str = "") -> Iterator[str]:
    """Each command that a person can type, without the program's name."""
    for name, found in getattr(command, "commands", {}).items():
        path = f"{above} {name}".strip()
        yield from names(found, path) if hasattr(found, "commands") else [path]


COMMANDS = {
    COORD: sorted(names(typer.main.get_command(coord_app))),
    NODE: sorted(names(typer.main.get_command(node_app))),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def places(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Gives the folder of a form: its environment, a run that is not prepared, a model."""
    made: dict[str, Path] = {}

    def place(form: str) -> Path:
        if form not in made:
            folder = made[form] = tmp_path_factory.mktemp(form)
            make_environment(folder / "environment", wheel, FORMS[form])
            make_run(folder, has_pictures=form != "both")
            make_model(folder / "model")
        return made[form]

    return place


def make_run(folder: Path, *, has_pictures: bool) -> None:
    """A run of emoji; or of a folder that does not exist, where nothing else would stop `prepare`."""
    settings = load_recipe("emoji-quick").model_dump(mode="json", exclude_none=True)
    if not has_pictures:
        settings["data"]["source"] = {"kind": "folder", "path": str(folder / "nowhere")}
    recipe = folder / "recipe.toml"
    recipe.write_text(dump_config(type(load_recipe("emoji-quick")).model_validate(settings)), "utf-8")
    create_run(folder / "run", recipe=str(recipe))


def make_model(folder: Path) -> None:
    shape = PRESETS["dit-emoji-4"].model_copy(update={"text_embed_dim": 0, "max_text_tokens": 0, "num_layers": 1})
    parts = {"name": "tiny", "num_experts": 1, "model": shape, "text": TextConfig(kind="none"), "codec": CodecConfig()}
    router, sampling = smallest_router(shape, 1), {"num_steps": 1, "guidance_scale": 1.0}
    layout = Layout.from_settings({**parts, "router": router, "sampling": sampling})
    write_layout(folder, layout, [initial_expert(shape, 0)], initial_router(router, 0), folder)


def outcomes(folder: Path, program: str, lines: list[list[str]]) -> list[tuple[int, str]]:
    """Exit code and output of each command, in the environment of a form."""
    answer = subprocess.run(
        [str(folder / "environment" / "bin" / "python"), str(HERE / "forked_commands.py"), program],
        input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return [tuple(json.loads(line)) for line in answer.stdout.splitlines()]


@pytest.mark.parametrize("program", COMMANDS)
def test_every_command_is_tried(program: str, tmp_path: Path) -> None:
    assert sorted(arguments_of(tmp_path)[program]) == COMMANDS[program]


@pytest.mark.parametrize(
    ("form", "program"), [*CASES, *(pytest.param(*case, marks=pytest.mark.long) for case in MORE_CASES)]
)
def test_every_command_works_or_names_the_extra_that_it_needs(places: Any, form: str, program: str) -> None:
    folder, extras = places(form), set(FORMS[form])
    given = arguments_of(folder)[program]
    for command in LEFT_OUT if form == "coordinator" else ():
        given.pop(command, None)
    found = outcomes(folder, program, [[*command.split(), *words] for command, words in given.items()])
    asked = {}
    for command, (code, output) in zip(given, found, strict=True):
        assert not re.search(r"Traceback|defect|Unexpected", output), f"{command}: {output}"
        asked[command] = set(_INSTALL.findall(output))
        assert code != MISSING or asked[command], f"{command}: {output}"
        assert not asked[command] & extras, f"{command} asks for what is installed: {output}"
        assert code == 0 or command not in WORK[program], f"{command}: {output}"
    wanted = {"coordinator"} if program == COORD and "coordinator" not in extras else set()
    for command in given.keys() & ORGANISERS if program == COORD else ():
        assert asked[command] >= wanted, command
    if form == "coordinator" and program == COORD:
        assert asked["prepare"] == asked["check-config"] == {"demo"}
    if program == COORD:
        assert (folder / "new").exists() == (not wanted), "nothing is half made"


@pytest.mark.parametrize("program", COMMANDS)
def test_every_help_text_needs_no_extra(places: Any, program: str) -> None:
    lines = [[*command.split(), "--help"] for command in COMMANDS[program]]
    for (code, output), line in zip(outcomes(places("plain"), program, lines), lines, strict=True):
        assert (code, "Usage" in output) == (0, True), f"{line}: {output}"


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_pip_installs_the_form_and_misses_nothing(places: Any, wheel: Path, form: str) -> None:
    """Pip itself installs the wheel, without an index: all that its resolver asks for must be there.

    Shorter: the tests above, in the same environments, whose wheel is only unpacked.
    """
    environment, extras = places(form) / "environment", ",".join(FORMS[form])
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python")]
    target = f"{NAME}[{extras}] @ {wheel.as_uri()}" if extras else f"{NAME} @ {wheel.as_uri()}"
    for words in (["uninstall", "--yes", NAME], ["install", "--no-index", target]):
        done = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    for program in ("paris-node", "paris-coord"):
        shown = subprocess.run([environment / "bin" / program, "--version"], capture_output=True, text=True, check=True)
        assert shown.stdout.startswith(program)


def test_each_module_of_an_extra_leads_to_that_extra() -> None:
    """By the modules that the installed distributions really bring."""
    modules, wrong, looked_at = packages_distributions(), [], 0
    for requirement in requires(NAME) or []:
        extra = re.search(r"extra == [\"'](\w+)[\"']", requirement)
        distribution = re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0].lower()
        brought = [name for name, owners in modules.items() if distribution in (owner.lower() for owner in owners)]
        for module in brought if extra is not None and extra[1] != "dev" else []:
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
    assert missing_module(ImportError("libcuda.so is broken", name="torch")) is None
    probe = "from paris.coordinator.console import fail_worker; fail_worker(lambda: __import__('no_such_module'))"
    answer = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert answer.returncode == 1
    assert "This is a defect" in answer.stderr
