"""Installation without a clone, from an empty cache: `python -m benchmarks.cold_install`.

Needs `uv` and `pipx`, and downloads half a gigabyte several times; torch comes from --find-links where that folder has
it. Measures, with a wheel of the last commit, in folders that are deleted again:

- what pip downloads for a volunteer;
- `uvx --from WHEEL paris-node --version` with an empty cache, and once more;
- `pipx install WHEEL` without a cache, and `paris-node --version` from it;
- bytes of the packages that each extra installs.

Writes benchmarks/results/cold_install.json, and the table of docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.record import write_result

_ROOT = Path(__file__).resolve().parents[1]
_CONSTRAINTS = _ROOT / "constraints.txt"
_EXTRAS = ("", "[sample]", "[coordinator]", "[coordinator,demo]")
_BEGIN = "<!-- installation figures: python -m benchmarks.cold_install -->\n"
_END = "<!-- end of installation figures -->\n"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


class Workshop:
    """A temporary folder, whose programs find no cache, no home and no sources of ours.

    Args:
        folder: Empty.
        find_links: A folder of wheels that may serve in place of the registry's; None: the registry alone.
    """

    def __init__(self, folder: Path, find_links: Path | None) -> None:
        self.folder = folder
        self._environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))},
            "UV_CACHE_DIR": str(folder / "uv"),
            "PIPX_HOME": str(folder / "pipx"),
            "PIPX_BIN_DIR": str(folder / "bin"),
            "PIP_NO_CACHE_DIR": "1",
            "PIP_CONSTRAINT": str(_CONSTRAINTS),
            "UV_CONSTRAINT": str(_CONSTRAINTS),
        }
        if find_links is not None:
            self._environ |= {"UV_FIND_LINKS": str(find_links), "PIP_FIND_LINKS": str(find_links)}

    def run(self, *words: str | Path) -> dict[str, float]:
        """Run a command in the folder; wall-clock and processor seconds of it and its children."""
        before, began = os.times(), time.monotonic()
        done = subprocess.run(words, cwd=self.folder, env=self._environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(map(str, words))}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        return {"wall_s": round(time.monotonic() - began, 1), "cpu_s": round(cpu_s, 1)}


def build_wheel(shop: Workshop) -> Path:
    """The wheel of the last commit."""
    sources = shop.folder / "sources"
    sources.mkdir()
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=_ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "x"], cwd=sources, input=archive, check=True)
    shop.run("uv", "build", "--wheel", "--out-dir", shop.folder / "dist", sources)
    return next((shop.folder / "dist").glob("*.whl"))


def measure(shop: Workshop, wheel: Path) -> dict[str, Any]:
    """All figures; bytes are those of files."""
    files = shop.folder / "files"
    pip = [sys.executable, "-m", "pip", "--quiet"]
    rows: dict[str, Any] = {"pip download": shop.run(*pip, "download", "--dest", files, wheel)}
    rows["pip download"] |= {"bytes": bytes_of(files), "files": len(list(files.iterdir()))}
    shutil.rmtree(files)
    uvx = ["uvx", "--python", _PYTHON, "--from", wheel, "paris-node", "--version"]
    rows["uvx, first"], rows["uvx, again"] = shop.run(*uvx), shop.run(*uvx)
    rows["pipx install"] = shop.run("pipx", "install", "--python", sys.executable, wheel)
    rows["pipx install"] |= {"bytes": bytes_of(shop.folder / "pipx")}
    rows["paris-node --version"] = shop.run(shop.folder / "bin" / "paris-node", "--version")
    for extra in _EXTRAS:
        place = shop.folder / f"environment{len(rows)}"
        shop.run("uv", "venv", "--python", _PYTHON, place)
        shop.run("uv", "pip", "install", "--python", place / "bin" / "python", f"paris-swarm{extra} @ {wheel.as_uri()}")
        packages = next(place.glob("lib/python*/site-packages"))
        rows[f"paris-swarm{extra}"] = {
            "bytes": bytes_of(packages),
            "packages": len(list(packages.glob("*.dist-info"))),
        }
        shutil.rmtree(place)
    return rows


def bytes_of(folder: Path) -> int:
    """Sum of the sizes of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def table(rows: dict[str, Any]) -> str:
    """The figures as Markdown."""
    lines = ["| | wall-clock | processor | MB | |", "| --- | --- | --- | --- | --- |"]
    for name, row in rows.items():
        seconds = [f"{row[key]:.1f} s" if key in row else "" for key in ("wall_s", "cpu_s")]
        size = f"{row['bytes'] / 1e6:.0f}" if "bytes" in row else ""
        count = next((f"{row[key]} {key}" for key in ("files", "packages") if key in row), "")
        lines.append(f"| `{name}` | {seconds[0]} | {seconds[1]} | {size} | {count} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--find-links", type=Path, help="Folder of wheels, such as torch's for the CPU.")
    given = parser.parse_args()
    missing = [name for name in ("uv", "uvx", "pipx") if shutil.which(name) is None]
    if missing:
        print(f"Not found: {', '.join(missing)}. Install them: pip install uv pipx", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        shop = Workshop(Path(folder), given.find_links and given.find_links.absolute())
        rows = measure(shop, build_wheel(shop))
    print(table(rows), end="")
    write_result("cold_install", rows)
    replace_between(_ROOT / "docs" / "benchmarks.md", _BEGIN, table(rows), _END)
    return 0


if __name__ == "__main__":
    sys.exit(main())
