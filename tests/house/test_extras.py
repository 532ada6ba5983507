"""Each form of `pip install`, in an environment of its own: every command works, or names the extra that it needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from deadlines import DEADLINE_S
from empty_environment import NAME, build_sdist, build_wheel, make_environment, sources
from recorded_network import off_loopback, recording

from paris.coordinator.cli.app import app as coord_app
from paris.coordinator.run.config import dump_config, load_recipe
from paris.coordinator.run.create import create_run
from paris.experts.errors import MissingModuleError
from paris.experts.frozen.codec import CodecConfig
from paris.experts.frozen.text import TextConfig
from paris.experts.models.model import initial_expert
from paris.experts.models.presets import PRESETS
from paris.experts.models.router import initial_router
from paris.experts.release.layout import write_layout
from paris.experts.release.layout_fields import Layout
from paris.experts.release.single import smallest_router
from paris.node.cli import app as node_app

HERE = Path(__file__).parent
FORMS = {
    "plain": (),
    "sample": ("sample",),
    "coordinator": ("coordinator",),
    "demo": ("demo",),
    "both": ("coordinator", "demo"),
}
COORD, NODE = "paris.coordinator.cli.app", "paris.node.cli"
CASES = [("plain", COORD), ("plain", NODE)]
MORE_CASES = [("coordinator", COORD), ("coordinator", NODE), ("demo", COORD), ("both", COORD)]
ORGANISERS = {"demo", "distill", "gc", "init", "prepare", "publish-tasks", "release", "report", "serve"}
"""What takes the libraries of the organiser's extra."""
LEFT_OUT = ("demo", "sample", "try", "warm-start", "reference", "distill")
"""In the form between plain and both: `demo` runs the others in processes; the rest take seconds to import torch."""
WORK = {NODE: {"status", "gc", "identity show"}, COORD: {"recipes", "sample"}}
"""What is done, and not refused, with `arguments_of`."""
MISSING = MissingModuleError.exit_code
IMPORT_ALL = """
import importlib, json, pkgutil, sys
missing, places = {}, []
for room in sys.argv[1:]:
    package = importlib.import_module(f"paris.{room}")
    for found in pkgutil.walk_packages(package.__path__, f"paris.{room}."):
        if not found.name.endswith("__main__"):
            try:
                places.append(importlib.import_module(found.name).__file__)
            except ModuleNotFoundError as error:
                missing[found.name] = error.name
answer = {"missing": missing, "places": places}
try:
    from paris.experts import ParisPipeline
except ImportError as error:
    answer["pipeline"] = f"{type(error).__name__}: {error}"
print(json.dumps(answer))
"""
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
            **{name: [run, "expert-0"] for name in ("recheck", "revoke", "unregister")},
            "invite": [run],
            "invites": [run],
            "withdraw-invite": [run, "5e" * 16],
            "roll-back": [run, "expert-0", "--to", "0"],
            "backup": [run, "--out", str(folder / "run.tar")],
            "restore": [str(folder / "nothing.tar"), str(folder / "restored")],
            "init": [str(folder / "new")],
            "browse": [run],
            "signer": [run, "--socket", str(folder / "nowhere" / "socket")],
            "recipes": [],
            "hub": ["--data", str(folder / "hub"), "--host", "192.0.2.1"],
            "sample": ["--model", model, "--out", str(folder / "grid.png"), "--device", "cpu", "--seeds", "1"],
            "try": [model, "--export", str(folder / "tried"), "--device", "cpu"],
            "report": [run, "--out", str(folder / "report")],
            "demo": ["--out", run],
        },
        NODE: {
            **{name: ["nowhere", *home] for name in ("join", "hand-in", "leave", "check")},
            "doctor": ["http://127.0.0.1:1/run.json", *home],
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
        env=recording(folder / "network", os.environ),
    )
    assert answer.returncode == 0, answer.stderr
    return [tuple(json.loads(line)) for line in answer.stdout.splitlines()]


def elsewhere(folder: Path, program: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program of a form's environment in a folder that has nothing of the sources."""
    return subprocess.run(
        [folder / "environment" / "bin" / program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )


def pip_in(folder: Path, *words: str) -> None:
    python = folder / "environment" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), *words]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


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
    record = folder / "network"
    hosts = record.read_text("utf-8").splitlines() if record.exists() else []
    assert off_loopback(hosts) == [], "nothing goes anywhere but to the run's own endpoints"
    assert program != NODE or any("'127.0.0.1'" in line for line in hosts), "nothing was recorded"


@pytest.mark.parametrize("program", COMMANDS)
def test_every_help_text_needs_no_extra(places: Any, program: str) -> None:
    lines = [[*command.split(), "--help"] for command in COMMANDS[program]]
    for (code, output), line in zip(outcomes(places("plain"), program, lines), lines, strict=True):
        assert (code, "Usage" in output) == (0, True), f"{line}: {output}"


@pytest.mark.parametrize("form", ["plain", pytest.param("both", marks=pytest.mark.long)])
def test_pip_installs_the_wheel_and_it_works_far_from_its_sources(places: Any, wheel: Path, form: str) -> None:
    """Both programs run, and every module can be imported whose libraries the form brings."""
    folder = places(form)
    pip_in(folder, "install", "--no-index", "--no-deps", "--force-reinstall", str(wheel))
    for program in ("paris-node", "paris-coord"):
        assert elsewhere(folder, program, "--version").stdout.startswith(f"{program} ")
    rooms = ["protocol", "experts", "node", *(["coordinator"] if "coordinator" in FORMS[form] else [])]
    answer = json.loads(elsewhere(folder, "python", "-c", IMPORT_ALL, *rooms).stdout)
    assert len(answer["places"]) > 150
    assert all(Path(place).is_relative_to(folder) for place in answer["places"])
    if form == "both":
        assert answer["missing"] == {}
        return
    assert {name.rpartition(".")[0] for name in answer["missing"]} == {"paris.experts.pipeline"}
    assert set(answer["missing"].values()) == {"diffusers"}
    assert answer["pipeline"].startswith("MissingModuleError: This needs the module diffusers, which is not installed.")
    assert "pip install 'paris-swarm[sample]'" in answer["pipeline"]


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
def test_pip_installs_the_form_and_misses_nothing(places: Any, wheel: Path, form: str) -> None:
    """Pip itself installs the wheel, without an index: all that its resolver asks for must be there.

    Shorter: the tests above, in the same environments, whose wheel is only unpacked.
    """
    folder, extras = places(form), ",".join(FORMS[form])
    pip_in(folder, "uninstall", "--yes", NAME)
    pip_in(folder, "install", "--no-index", f"{NAME}[{extras}] @ {wheel.as_uri()}".replace("[]", ""))
    for program in ("paris-node", "paris-coord"):
        assert elsewhere(folder, program, "--version").stdout.startswith(program)


def test_wheel_and_sdist_have_every_file_of_the_package_and_no_other(wheel: Path, tmp_path: Path) -> None:
    files, packages = sources(), ("protocol/", "experts/", "node/", "coordinator/")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == {f"paris/{name}" for name in files if name.startswith(packages)}
    with tarfile.open(build_sdist(tmp_path)) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    made = {name for name in inside if name.startswith("paris_swarm.egg-info/")} | {"PKG-INFO", "setup.cfg"}
    assert inside - made == set(files)
