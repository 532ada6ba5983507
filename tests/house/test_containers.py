"""The images and the compose file, as far as that goes without an engine: linted, parsed, run line by line."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from command_lines import lines_in, why_not_a_command
from deadlines import DEADLINE_S
from documents import ROOT

from paris.coordinator.run.config import load_config
from paris.node.control.server import control_socket
from paris.node.control.wishes import Wishes
from paris.node.join.answers import Answers
from paris.node.retry import StopSignal
from paris.node.view.board import Board

DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
NAMES = [path.name for path in DOCKERFILES]
each_image = pytest.mark.parametrize("path", DOCKERFILES, ids=NAMES)


def instructions(path: Path) -> list[tuple[str, str]]:
    """A Dockerfile's instructions: name and argument, continued lines joined, comments left out."""
    kept = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(kept))
    pairs = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, argument.strip()) for name, argument in pairs]


def of(path: Path, name: str) -> list[str]:
    return [argument for found, argument in instructions(path) if found == name]


def words(argument: str) -> list[str]:
    """The exec form of ENTRYPOINT and CMD."""
    return list(yaml.safe_load(argument))


@each_image
def test_the_linter_finds_nothing(path: Path):
    answer = subprocess.run(
        [shutil.which("hadolint", path=sysconfig.get_path("scripts")) or "hadolint", "--no-color", str(path)],
        capture_output=True,
        text=True,
    )
    assert (answer.returncode, answer.stdout) == (0, "")


@each_image
def test_the_base_is_pinned_by_digest_and_the_same_for_all(path: Path):
    base = [argument for argument in of(path, "ARG") if argument.startswith("PYTHON_IMAGE=")]
    assert len(base) == 1
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", base[0])
    assert base == [argument for argument in of(DOCKERFILES[0], "ARG") if argument.startswith("PYTHON_IMAGE=")]


@each_image
def test_the_process_is_nobody_special_and_keeps_its_data_in_a_volume(path: Path):
    assert re.fullmatch(r"[1-9]\d{3,}", of(path, "USER")[-1])
    assert of(path, "VOLUME") == ["/data"]
    assert of(path, "STOPSIGNAL") == ["SIGTERM"]


@each_image
def test_nothing_is_downloaded_and_run_unseen(path: Path):
    text = path.read_text("utf-8")
    assert re.findall(r"\b(curl|wget|sudo|ADD)\b", text) == []
    installs = [line for line in of(path, "RUN") if "pip install" in line]
    assert len(installs) == 3
    assert all("--constraint constraints.txt" in line for line in installs)


@each_image
def test_what_is_copied_is_in_the_build_context(path: Path):
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")}
    copied = {source for argument in of(path, "COPY") for source in argument.split()[:-1]}
    assert copied == allowed


def test_a_volunteers_container_is_healthy_while_its_node_answers(tmp_path: Path):
    (check,) = of(ROOT / "docker" / "volunteer.Dockerfile", "HEALTHCHECK")
    search = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environ = {**os.environ, "PATH": search, "PARIS_HOME": str(tmp_path)}

    def is_healthy() -> bool:
        line = words(check.partition("CMD ")[2])
        return subprocess.run(line, env=environ, timeout=DEADLINE_S, check=False).returncode == 0

    assert not is_healthy()
    with control_socket(tmp_path, Answers(Wishes(StopSignal()), Board())):
        assert is_healthy()


def compose() -> dict:
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text("utf-8"))


def test_the_compose_file_is_the_demos_swarm_on_a_network_without_a_way_out():
    swarm = compose()
    assert sorted(swarm["services"]) == ["coordinator", "volunteer-1", "volunteer-2", "volunteer-3"]
    assert swarm["networks"]["swarm"]["internal"] is True
    assert {name for service in swarm["services"].values() for name in service["networks"]} == {"swarm"}
    assert not any("ports" in service or "privileged" in service for service in swarm["services"].values())


def test_the_compose_file_runs_commands_that_exist():
    services = compose()["services"]
    lines = lines_in("\n".join(services["coordinator"]["command"]))
    commands = [line.removeprefix("exec ").split()[1] for line in lines]
    assert commands == ["init", "prepare", "warm-start", "publish-tasks", "serve"]
    lines += [shlex.join(["paris-node", *services[f"volunteer-{k}"]["command"]]) for k in (1, 2, 3)]
    lines += lines_in(re.sub(r"(?m)^#.*exec coordinator ", "", (ROOT / "docker" / "compose.yaml").read_text("utf-8")))
    assert [why for line in lines if (why := why_not_a_command(line)) is not None] == []


def test_each_volunteer_has_a_name_and_a_home_of_its_own():
    volunteers = [service for name, service in compose()["services"].items() if name.startswith("volunteer")]
    assert len({service["environment"]["PARIS_NODE_NAME"] for service in volunteers}) == 3
    assert len({service["volumes"][0] for service in volunteers}) == 3
    assert all(service["read_only"] and service["cap_drop"] == ["ALL"] for service in volunteers)


def test_the_compose_file_puts_the_run_on_the_address_that_volunteers_dial(tmp_path: Path):
    """Runs its `init` line, on a loopback address in the place of the network's, and reads the run.toml of it."""
    swarm = compose()["services"]
    address = swarm["coordinator"]["networks"]["swarm"]["ipv4_address"]
    script = "\n".join(swarm["coordinator"]["command"])
    (line,) = [line.strip() for line in script.splitlines() if line.strip().startswith("paris-coord init")]
    search = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    command = ["sh", "-euc", line.replace(address, "127.0.0.2")]
    subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PATH": search}, check=True, capture_output=True, timeout=DEADLINE_S
    )
    config = load_config(tmp_path / "run")
    assert f"--host {address}" in line
    assert config.hub.endpoint == "http://127.0.0.2:8484"
    assert config.dht.listen[0].startswith("/ip4/127.0.0.2/tcp/")
    assert swarm["volunteer-1"]["command"][1:4] == [
        config.hub.model_repo,
        "--hub-endpoint",
        config.hub.endpoint.replace("127.0.0.2", address),
    ]


def test_every_volume_and_image_of_the_compose_file_is_declared():
    swarm = compose()
    used = {volume.split(":")[0] for service in swarm["services"].values() for volume in service["volumes"]}
    assert used == set(swarm["volumes"])
    dockerfiles = {service["build"]["dockerfile"] for service in swarm["services"].values()}
    assert dockerfiles == {f"docker/{name}" for name in NAMES}


def test_the_monitoring_reaches_the_page_and_no_volunteer_reaches_it():
    swarm, watch = compose(), yaml.safe_load((ROOT / "docker" / "monitoring.yaml").read_text("utf-8"))
    prometheus, grafana = watch["services"]["prometheus"], watch["services"]["grafana"]
    monitoring = ROOT / "docs" / "monitoring"
    (target,) = yaml.safe_load((monitoring / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0][
        "static_configs"
    ]
    listen = re.search(r'listen = "(.+?)"', "\n".join(swarm["services"]["coordinator"]["command"]))[1]
    assert target["targets"] == [listen], "the page of the coordinator, on its loopback"
    assert prometheus["network_mode"] == "service:coordinator"
    address = watch["services"]["coordinator"]["networks"]["watch"]["ipv4_address"]
    assert f"--web.listen-address={address}:9090" in prometheus["command"]
    source = yaml.safe_load((monitoring / "grafana" / "datasource.yml").read_text("utf-8"))["datasources"][0]
    assert source["url"] == f"http://{address}:9090"
    assert watch["networks"]["watch"]["internal"] is True
    assert not {"watch", "desk"} & {name for v in swarm["services"].values() for name in v["networks"]}
    assert [port.startswith("127.0.0.1:") for port in grafana["ports"]] == [True]
    for service in (prometheus, grafana):
        files = [volume.split(":")[0] for volume in service["volumes"] if volume.startswith("..")]
        assert all((ROOT / "docker" / path).is_file() for path in files)
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), "a version, not the latest"


class Build:
    """A build without an engine: a folder for /opt/paris, and a fresh environment that the install lines fill.

    The environment sees the packages of the running one, so that pip finds the pinned dependencies in place.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.context, self.environment = folder / "opt", folder / "venv"
        self.context.mkdir()
        venv.create(self.environment, with_pip=False)
        self.python = self.environment / "bin" / "python"
        inner = subprocess.run(
            [self.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        # Only the folder itself: the links to these sources stand in .pth files inside it, which are then not read.
        (Path(inner.stdout.strip()) / "seen.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
        search = os.pathsep.join([str(self.environment / "bin"), sysconfig.get_path("scripts"), os.environ["PATH"]])
        arguments = dict(argument.split("=", 1) for argument in of(path, "ARG"))
        self._variables = {
            **os.environ,
            **arguments,
            "PATH": search,
            "PARIS_HOME": str(folder),
            "PIP_PYTHON": str(self.python),
        }

    def copy(self, sources: list[str]) -> None:
        for source in sources:
            copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy2
            copy(ROOT / source, self.context / source)

    def run(self, line: str) -> str:
        answer = subprocess.run(
            ["sh", "-euc", line], cwd=self.context, env=self._variables, capture_output=True, text=True, timeout=900
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        return answer.stdout


@each_image
@pytest.mark.long
def test_the_install_and_entry_lines_work_in_a_fresh_environment(path: Path, tmp_path: Path):
    """Runs, as written and in order: every COPY, every `RUN ... pip install`, then ENTRYPOINT with CMD.

    What differs from a build: torch (200 MB to 3 GB) and the other pinned dependencies are found in the running
    environment instead of being downloaded, and `RUN useradd` is left out. What it shows: the pins can all be met
    together, the project installs from just the files that are copied, as a package and not as a link to the sources,
    and its command and its data files work from there. A shorter form: tests/house/test_extras.py.
    """
    build = Build(path, tmp_path)
    for name, argument in instructions(path):
        if name == "COPY":
            build.copy(argument.split()[:-1])
        elif name == "RUN" and "pip install" in argument:
            build.run(re.sub(r"^--mount=\S+\s+", "", argument))
    shutil.rmtree(build.context)
    build.context.mkdir()
    entry, default = words(of(path, "ENTRYPOINT")[0]), words(of(path, "CMD")[0])
    assert (build.environment / "bin" / entry[0]).is_file()
    assert "Usage" in build.run(shlex.join([*entry, *default]))
    where = build.run("python -c 'import paris.coordinator; print(paris.coordinator.__file__)'")
    assert Path(where.strip()).is_relative_to(build.environment)
    if entry == ["paris-coord"]:
        assert "emoji" in build.run("paris-coord recipes").split()
