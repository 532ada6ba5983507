"""`paris-coord notify`: tries the webhooks of [notify]."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from paris.coordinator.cli.options import JsonOption, RunArgument, open_run
from paris.coordinator.console import print_json, say
from paris.coordinator.errors import ConfigError
from paris.protocol.streams import show_secret


def notify(
    run: RunArgument,
    secret: Annotated[bool, typer.Option("--secret", help="Print the key of the signatures instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    r"""Post a test notice to each webhook of run.toml's `\[notify]`, and say whether it arrived."""
    from paris.coordinator.service.notices import try_webhooks
    from paris.coordinator.service.webhooks import read_secret

    opened = open_run(run, log_name="notices")
    if secret:
        key = read_secret(opened.path)
        show_secret(json.dumps({"secret": key}) if as_json else key, sys.stdout)
        return
    if not opened.config.notify.webhooks:
        raise ConfigError(f"{opened.path / 'run.toml'} names no webhook.", "Add a [[notify.webhooks]] table.")
    results = try_webhooks(opened)
    if as_json:
        print_json({"webhooks": [{"name": name, "error": str(error) if error else None} for name, error in results]})
    else:
        for name, error in results:
            say(f"{name}: {'arrived' if error is None else error.what}")
    failed = next((error for _, error in results if error is not None), None)
    if failed is not None:
        raise failed
