"""`paris-coord try`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from paris.coordinator.cli.options import expanded
from paris.coordinator.errors import ConfigError

if TYPE_CHECKING:
    from paris.coordinator.trying.messages import Ask

_MOST_PROMPTS = 100


def try_model(
    model: Annotated[str, typer.Argument(help="A release folder, or org/repo on a Hub.")],
    prompt: Annotated[list[str] | None, typer.Argument(help="With --export: prompts to draw.")] = None,
    port: Annotated[int, typer.Option(help="Port on this machine; 0 picks a free one.", min=0, max=65535)] = 8486,
    export: Annotated[
        Path | None,
        typer.Option(help="Write pictures and a page that needs no server into a folder, and end.", callback=expanded),
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="With --export: a text file, a prompt a line.", callback=expanded)
    ] = None,
    seed: Annotated[int, typer.Option(help="With --export: the seed of all pictures.", min=0, max=2**32 - 1)] = 0,
    routing: Annotated[
        str | None, typer.Option(help="With --export: ancestral, top1, top2, top3, full or threshold.")
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="With --export: guidance scale.", min=0)] = None,
    steps: Annotated[int | None, typer.Option(help="With --export: denoising steps.", min=1)] = None,
    max_resident_experts: Annotated[
        int | None, typer.Option(help="Experts in memory at once; the others are loaded when needed.", min=1)
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda or mps.", show_default="a GPU if there is one")] = None,
    endpoint: Annotated[str | None, typer.Option(help="Endpoint of the Hub, for org/repo.")] = None,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit, for org/repo.")] = None,
) -> None:
    """Try a model in a browser on this machine: a prompt, its picture, and which expert drew what, when."""
    from paris.coordinator.trying.messages import Source

    source = Source(
        model=model, endpoint=endpoint, revision=revision, device=device, max_resident_experts=max_resident_experts
    )
    if export is None:
        if prompt or prompts is not None:
            raise ConfigError("Prompts are for --export; the page asks for them.", "Add --export FOLDER.")
        from paris.coordinator.trying.server import serve

        serve(source, port)
        return
    from paris.coordinator.trying.export import export as write_export

    settings = {"seed": seed, "routing": routing, "guidance": guidance, "steps": steps}
    write_export(source, _asks([*(prompt or []), *_lines(prompts)], settings), export)


def _asks(texts: list[str], settings: dict[str, Any]) -> list[Ask]:
    """What to draw; one picture without a prompt if there is none."""
    from pydantic import ValidationError

    from paris.coordinator.trying.asking import bounds_of
    from paris.coordinator.trying.messages import Ask

    if len(texts) > _MOST_PROMPTS:
        raise ConfigError(f"{len(texts)} prompts are more than {_MOST_PROMPTS}.", "Export them in several folders.")
    try:
        return [Ask.model_validate({"prompt": text, **settings}) for text in texts or [""]]
    except ValidationError as error:
        raise ConfigError("This cannot be drawn.", " ".join(bounds_of(error))) from error


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", "Give a text file in UTF-8, a prompt a line.") from error
