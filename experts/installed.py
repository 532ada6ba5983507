"""Modules that are not installed, and which of this package's extras installs them, by the package's own metadata."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires

from paris.experts.errors import MissingModuleError

DISTRIBUTION = "paris-swarm"
UPGRADE = f"Update this side: pip install --upgrade {DISTRIBUTION}."
"""As `paris.protocol.version.UPGRADE`, which this package does not know; a test compares them."""
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def missing_module(error: ImportError) -> MissingModuleError | None:
    """The error for an import that failed because this package, or the extra that it takes, is not wholly installed.

    Returns:
        None where something else is wrong: a module that this package does not declare, or one that is installed and
        cannot be imported.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return None
    module = error.name.partition(".")[0]
    for requirement in _requirements():
        if _provides(requirement, module):
            return MissingModuleError(
                f"This needs the module {module}, which is not installed.",
                f"Install it: pip install {_wanted(requirement)}",
            )
    return None


def _requirements() -> list[str]:
    """What the installed package requires, one `name>=version; marker` an entry."""
    try:
        return requires(DISTRIBUTION) or []
    except PackageNotFoundError:  # run from the source tree
        return []


def _provides(requirement: str, module: str) -> bool:
    """Whether a distribution's name is that of a module: also faiss-cpu of `faiss`, and PyYAML of `yaml`."""
    name, wanted = _normal(re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0]), _normal(module)
    if name == DISTRIBUTION:  # an extra that takes another one along
        return False
    return name in (wanted, f"py{wanted}") or name.startswith(f"{wanted}-")


def _wanted(requirement: str) -> str:
    extra = _EXTRA.search(requirement)
    return f"'{DISTRIBUTION}[{extra[1]}]'" if extra else DISTRIBUTION


def _normal(name: str) -> str:
    """A name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
