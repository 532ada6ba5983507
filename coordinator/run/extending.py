"""Recipes on recipes: a recipe names in `extends` the one that it changes.

    extends = "paris-256"           a packaged recipe, or a .toml file, relative to this one

Tables are merged key by key; all other values replace those of the recipe below.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from paris.coordinator.errors import ConfigError

_ENDING = ".toml"
_EITHER = (
    ("training", {"batch_size", "total_batch_size"}),
    ("data", {"heldout_rows", "heldout_fraction"}),
    ("data", {"shard_bytes", "rows_per_shard"}),
    ("model", {"warm_start_steps", "imagenet_weights"}),
    ("tasks", {"leg_steps", "leg_hours"}),
)
"""Fields of a table of which a recipe sets one: it replaces the other of the recipe below."""


@dataclass(frozen=True)
class RecipeFile:
    """A packaged recipe, or a file."""

    name: str
    """Its name, or its path as it was given."""
    path: Path | None = None
    """None: packaged."""

    @property
    def title(self) -> str:
        """For messages."""
        return f"recipe {self.name}" if self.path is None else self.name

    def text(self) -> str:
        """Its text.

        Raises:
            ConfigError: It cannot be read as UTF-8.
        """
        if self.path is None:
            return str(_packaged().joinpath(self.name + _ENDING).read_text("utf-8"))
        return read_toml(self.path)


def read_toml(path: Path) -> str:
    """The text of a recipe or run.toml.

    Raises:
        ConfigError: It cannot be read as UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", "Save it as UTF-8 text, readable by you.") from error


def recipe_names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(item.name.removesuffix(_ENDING) for item in _packaged().iterdir() if item.name.endswith(_ENDING))


def find_recipe(name: str, beside: Path | None = None) -> RecipeFile:
    """Find a recipe.

    Args:
        name: Of a packaged recipe, or the path of a .toml file.
        beside: Folder that a relative path starts from; None: the working folder.

    Raises:
        ConfigError: There is none.
    """
    path = Path(name) if beside is None else beside / name
    if name.endswith(_ENDING) and path.is_file():
        return RecipeFile(str(path), path)
    if name in recipe_names():
        return RecipeFile(name)
    known = ", ".join(recipe_names())
    raise ConfigError(f"Unknown recipe {name!r}.", f"Known recipes: {known}; or give the path of a .toml file.")


def composed(recipe: RecipeFile, above: tuple[RecipeFile, ...] = ()) -> dict[str, Any]:
    """Read a recipe and those that it extends.

    Args:
        recipe: The recipe.
        above: The recipes that extend it, outermost first.

    Raises:
        ConfigError: A file is missing or not TOML, `extends` is no name, or a recipe extends itself.
    """
    try:
        values = tomllib.loads(recipe.text())
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{recipe.title} is not TOML: {error}.", "Fix that line and retry.") from error
    if "extends" not in values:
        return values
    below = values.pop("extends")
    if not isinstance(below, str):
        raise ConfigError(f"{recipe.title}: extends is {below!r}.", "Give the name of one recipe, in quotes.")
    chain = (*above, recipe)
    found = find_recipe(below, recipe.path.parent if recipe.path is not None else None)
    if any(_same(found, other) for other in chain):
        names = " -> ".join(each.name for each in (*chain, found))
        raise ConfigError(f"A recipe extends itself: {names}.", "Remove one `extends` of these.")
    return merged(composed(found, chain), values)


def merged(below: dict[str, Any], above: dict[str, Any], table: str = "") -> dict[str, Any]:
    """One recipe over another.

    A table of another `kind`, such as [data.source], replaces the one below: its other fields would mean nothing.

    Args:
        below: The extended recipe's values.
        above: The extending recipe's.
        table: Name of the table that the values are of; empty: the whole recipe.
    """
    replaced = {other for name, either in _EITHER if name == table and either & above.keys() for other in either}
    result = {name: value for name, value in below.items() if name not in replaced}
    for name, value in above.items():
        old = result.get(name)
        is_change = isinstance(old, dict) and isinstance(value, dict) and value.get("kind") in (None, old.get("kind"))
        result[name] = merged(old, value, name) if isinstance(old, dict) and is_change else value
    return result


def _same(one: RecipeFile, other: RecipeFile) -> bool:
    if one.path is None or other.path is None:
        return one == other
    return one.path.resolve() == other.path.resolve()


def _packaged() -> Any:
    return files("paris.coordinator").joinpath("recipes")
