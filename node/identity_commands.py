"""`paris-node identity`: the key that contributions are signed with, and its copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from paris.node.options import HomeOption, JsonOption, clear_errors, home_path
from paris.protocol.streams import require_stdout

identity_app = typer.Typer(help="The key that your contributions are signed with.", no_args_is_help=True)
PassphraseOption = Annotated[
    bool, typer.Option("--passphrase", help="Ask for a passphrase, with which the copy is sealed.")
]
CopyArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The copy.")]


@identity_app.command("show")
def show(home: HomeOption = None) -> None:
    """Print the public key; create the identity if there is none."""
    with clear_errors():
        from paris.node.machine.home import Home
        from paris.protocol.signing import Identity

        require_stdout()
        print(Identity.load_or_create(Home(home_path(home)).identity).public_key)


@identity_app.command("backup")
def backup(
    file: CopyArgument, home: HomeOption = None, passphrase: PassphraseOption = False, as_json: JsonOption = False
) -> None:
    """Copy the identity to a new file, which only you can read."""
    with clear_errors(as_json=as_json):
        from paris.node.machine.home import Home
        from paris.node.machine.identity_backup import backup_identity

        words = typer.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True) if passphrase else ""
        _say(backup_identity(Home(home_path(home)).identity, file, words), f"Copied to {file}.", as_json=as_json)


@identity_app.command("restore")
def restore(file: CopyArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make a copy the identity of a home that has none; asks for the passphrase of a sealed one."""
    with clear_errors(as_json=as_json):
        from paris.node.machine.home import Home
        from paris.node.machine.identity_backup import is_sealed, restore_identity
        from paris.node.machine.lock import home_lock

        words = typer.prompt("Passphrase", hide_input=True, err=True) if is_sealed(file) else ""
        node_home = Home(home_path(home))
        with home_lock(node_home.path):
            _say(restore_identity(file, node_home.identity, words), "Restored.", as_json=as_json)


def _say(public_key: str, text: str, *, as_json: bool) -> None:
    print(json.dumps({"public_key": public_key}) if as_json else f"{text} Public key: {public_key}")
