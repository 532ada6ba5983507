"""`init --data`, then `prepare`, on each kind of source; what is refused leaves nothing behind."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from deadlines import DEADLINE_S
from hub_process import OWNER_TOKEN, HubProcess, client_environment
from picture_piles import WRITERS, pile
from typer.testing import CliRunner, Result

from paris.coordinator.cli.app import app
from paris.coordinator.cli.preparing import PrepareOptions, prepare_run
from paris.coordinator.errors import RunDirError
from paris.coordinator.prepare.errors import SourceMissingError
from paris.coordinator.proposal.errors import SourceChangedError, UndecidedError
from paris.coordinator.run.config import load_config
from paris.coordinator.run.directory import RunDir
from paris.protocol.errors import ParisError

_UPLOAD = """
import os, sys
from huggingface_hub import HfApi
api = HfApi(token=os.environ["OWNER_TOKEN"])
for name in ("photos", "unlicensed"):
    api.create_repo(f"lab/{name}", repo_type="dataset")
    api.upload_folder(repo_id=f"lab/{name}", repo_type="dataset", folder_path=f"{sys.argv[1]}/{name}")
"""


def init(*arguments: object) -> Result:
    """`paris-coord init` in this process, without a terminal."""
    return CliRunner().invoke(app, ["init", *map(str, arguments)])


def prepared(run_dir: Path, **options: bool) -> dict[str, object]:
    """Prepare a run; the record of it."""
    prepare_run(RunDir.open(run_dir), PrepareOptions(**options), as_json=True)  # type: ignore[arg-type]
    record: dict[str, object] = json.loads((run_dir / "data" / "prepared.json").read_text("utf-8"))
    return record


@pytest.fixture(scope="module")
def piles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty pictures in each form."""
    root = tmp_path_factory.mktemp("piles")
    for kind, write in WRITERS.items():
        write(root / kind, pile(20))
    for picture in pile(20):
        path = root / "classes" / picture.name.partition("-")[0] / f"{picture.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.data)
    return root


@pytest.fixture(scope="module")
def hub(piles: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    root = tmp_path_factory.mktemp("hub")
    shutil.copytree(piles / "parquet", root / "repos" / "photos")
    (root / "repos" / "photos" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# photos")
    WRITERS["parquet"](root / "repos" / "unlicensed", [replace(picture, licence="") for picture in pile(20)])
    process = HubProcess(root / "hub")
    command = [sys.executable, "-c", _UPLOAD, str(root / "repos")]
    subprocess.run(command, env=client_environment(process.url, root / "home"), check=True, timeout=DEADLINE_S)
    yield process
    process.stop()


@pytest.mark.parametrize("kind", [*WRITERS, "classes"])
def test_a_run_from_ones_own_pictures_can_be_prepared(piles: Path, tmp_path: Path, kind: str) -> None:
    made = init(tmp_path / "run", "--data", piles / kind, "--size", 16, "--yes", "--json")
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout)
    assert answer["survey"]["rows"] == 40
    config = load_config(tmp_path / "run")
    assert config.model_dump(mode="json", exclude={"hub", "dht"}, exclude_none=True) == {
        name: value for name, value in answer["settings"].items() if name not in ("hub", "dht")
    }
    record = prepared(tmp_path / "run")
    assert len(record["clusters"]) == 2
    assert record["licence"] == "unknown"
    words = set(json.loads((tmp_path / "run" / "data" / "vocab.json").read_text("utf-8")))
    assert {"disc", "blocks"} <= words


def test_a_run_from_a_data_set_of_a_hub_can_be_prepared(
    hub: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARIS_SOURCE_TOKEN", OWNER_TOKEN)
    made = init(tmp_path / "run", "--data", f"{hub.url}/datasets/lab/photos", "--size", 16, "--json")
    assert made.exit_code == 0, made.output
    source = load_config(tmp_path / "run").data["source"]
    assert len(source["revision"]) == 40  # a commit, so that it cannot change before `prepare`
    assert source["licence"] == "cc-by-4.0"
    assert len(prepared(tmp_path / "run")["clusters"]) == 2


def test_a_data_set_without_licence_or_of_no_such_name_is_refused(
    hub: HubProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PARIS_SOURCE_TOKEN", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    unlicensed = init(tmp_path / "run", "--data", "lab/unlicensed", "--size", 16, "--yes")
    assert isinstance(unlicensed.exception, UndecidedError)
    assert unlicensed.exception.what == "The data set lab/unlicensed states no licence for 40 of its pictures."
    missing = init(tmp_path / "run", "--data", "lab/nothing", "--yes")
    assert isinstance(missing.exception, SourceMissingError)
    assert missing.exception.what.startswith(
        "There is no folder lab/nothing here, and there is no data set lab/nothing"
    )
    assert list(tmp_path.iterdir()) == []
    assert init(tmp_path / "run", "--data", "lab/unlicensed", "--size", 16, "--licence", "cc0").exit_code == 0


def test_pictures_that_changed_since_init_are_named(piles: Path, tmp_path: Path) -> None:
    shutil.copytree(piles / "folder", tmp_path / "mine")
    assert init(tmp_path / "run", "--data", tmp_path / "mine", "--size", 16, "--yes").exit_code == 0
    (tmp_path / "mine" / "notes.md").write_text("no picture, and no text of one")
    (tmp_path / "mine" / "disc-3.png").unlink()
    (tmp_path / "mine" / "new.png").write_bytes(pile()[0].data)
    metadata = tmp_path / "mine" / "metadata.jsonl"
    metadata.write_text(metadata.read_text("utf-8") + "\n")
    with pytest.raises(SourceChangedError) as error:
        prepared(tmp_path / "run")
    assert error.value.what.endswith(
        "1 file is new (new.png), 1 file is gone (disc-3.png), 1 file is changed (metadata.jsonl)."
    )
    assert not (tmp_path / "run" / "data").exists()
    assert prepared(tmp_path / "run", accept_changes=True)["dropped"] == {
        "missing file": 1,
        "no caption": 1,
        "not a picture": 1,
    }
    prepared(tmp_path / "run")  # accepted once, it is what is expected from now on


def test_run_toml_names_every_setting_and_gives_reasons(piles: Path, tmp_path: Path) -> None:
    assert init(tmp_path / "run", "--data", piles / "folder", "--yes").exit_code == 0
    text = (tmp_path / "run" / "run.toml").read_text("utf-8")
    for name in ("caption_column", "class_captions", "include", "licence", "author", "attribution", "path"):
        assert f"\n{name} = " in text or f"\n# {name} = " in text
    for name in ("licences", "max_aspect", "near_duplicate_bits", "captioner", "balance"):
        assert f"\n# {name} " in text
    assert "# Chosen: 40 pictures, 20 each." in text
    assert "# Secret rows of each cluster" in text  # what the field's own documentation says
    assert "None" not in text


def test_names_of_strangers_are_shown_without_their_control_characters(tmp_path: Path) -> None:
    """No markup, no escape sequences, no line of their own in run.toml."""
    hostile = "[bold] \x1b[31mred\x1b[0m \n num_experts = 9"
    for number, picture in enumerate(pile(20)):
        path = tmp_path / "a [red] folder" / (hostile if number % 2 else "[blue]") / f"{picture.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture.data)
    made = init(tmp_path / "run", "--data", tmp_path / "a [red] folder", "--yes")
    assert made.exit_code == 0, made.output
    assert "[red]" in made.stdout
    assert "[bold]" in made.stdout
    assert "\x1b" not in made.stdout
    config = load_config(tmp_path / "run")
    assert config.run.num_experts == 2
    assert config.sampling.prompts == ["[blue]", "[bold] [31mred [0m num experts = 9"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "{piles}/empty", "--yes"], "is empty: it contains no file to read."),
        (["--data", "{piles}/nowhere", "--yes"], "There is no folder or file"),
        (["--data", "{piles}/folder", "--experts", "3", "--yes"], "3 experts need 60 pictures at the least, 40"),
        (["--data", "{piles}/folder", "--size", "256", "--yes"], "have a side below 256 px"),
        (["--data", "{piles}/bare", "--yes"], "None of the 2 pictures"),
        (["--data", "{piles}/classes"], "Not known, and nobody to ask here: Licence of the 40 pictures"),
        (["--data", "{piles}/folder", "--name", "No!", "--yes"], "Invalid run name 'No!'."),
        (["--size", "32"], "--size needs --data."),
    ],
)
def test_what_is_refused_is_one_line_and_leaves_nothing(
    piles: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (piles / "empty").mkdir(exist_ok=True)
    (piles / "bare").mkdir(exist_ok=True)
    for picture in pile(1):
        (piles / "bare" / f"{picture.name}.png").write_bytes(picture.data)
    made = init(tmp_path / "run", *(argument.replace("{piles}", str(piles)) for argument in arguments))
    assert isinstance(made.exception, ParisError)
    assert message in made.exception.what
    assert "\n" not in made.exception.what
    assert made.exception.next_step
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "nosuch"], "nosuch"),
        (["--name", "No!"], "Invalid run name"),
        (["--captions", "none", "--captioner", "x"], "exclude each other"),
        (["--hub", "ftp://nowhere"], "Invalid Hub endpoint"),
        (["--host", "my-machine"], "is not an IPv4 address"),
        (["--host", "203.0.113.9"], "cannot listen at 203.0.113.9"),
    ],
)
def test_what_no_pictures_can_mend_is_refused_before_they_are_looked_at(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    made = init(tmp_path / "run", "--data", tmp_path / "missing", "--yes", *arguments)
    assert isinstance(made.exception, ParisError)
    assert message in made.exception.what


def test_a_folder_that_cannot_be_made_is_refused_before_the_pictures_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "run", Path("/proc/run")):
        for data in (["--data", tmp_path / "missing", "--yes"], []):
            made = init(folder, *data)
            assert isinstance(made.exception, RunDirError)
            assert made.exception.what.startswith(f"{folder} cannot be written: ")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_next_command_can_be_pasted(tmp_path: Path) -> None:
    made = init(tmp_path / "my run")
    assert made.exit_code == 0
    assert f"Next: paris-coord prepare '{tmp_path / 'my run'}'" in made.stderr


@pytest.mark.parametrize(("confirmed", "code"), [(b"y", 0), (b"n", 1)])
def test_in_a_terminal_what_is_not_known_is_asked(piles: Path, tmp_path: Path, confirmed: bytes, code: int) -> None:
    """The licence is asked for, then the settings are confirmed or not."""
    leader, follower = pty.openpty()
    command = [str(Path(sys.executable).with_name("paris-coord")), "init", "run", "--data", str(piles / "classes")]
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, cwd=tmp_path)
    os.close(follower)
    seen = _until(leader, b"state none")
    os.write(leader, b"cc0\n")
    seen += _until(leader, b"Write these settings")
    os.write(leader, confirmed + b"\n")
    last = _until(leader, None).decode()
    assert process.wait(timeout=DEADLINE_S) == code, seen.decode()
    os.close(leader)
    if code:
        assert "Nothing was written. Options" in last
        assert "Error" not in last
        assert list(tmp_path.iterdir()) == []
        return
    assert load_config(tmp_path / "run").data["source"]["licence"] == "cc0-1.0"


def _until(terminal: int, words: bytes | None) -> bytes:
    """What a terminal shows until these words, or until its end."""
    seen = b""
    while words is None or words not in seen:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the program has closed it
            part = b""
        if not part:
            assert words is None, seen.decode()
            return seen
        seen += part
    return seen
