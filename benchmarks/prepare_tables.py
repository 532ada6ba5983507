"""Tables of the organisers' guide on the cost of `prepare`, from results; called by `benchmarks.tables`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.marked import replace_between
from benchmarks.record import RESULTS

_GUIDE = Path(__file__).resolve().parents[1] / "docs" / "organisers" / "pictures.md"
_BEGIN = "<!-- prepare figures: python -m benchmarks.tables -->\n"
_END = "<!-- end of prepare figures -->\n"
_KINDS = {
    "stand-in": "pixels of 32x32",
    "latents": "latents of 4x32x32",
}


def prepare_table(result: dict[str, Any]) -> str:
    """Speed, memory and bytes by number of rows.

    Args:
        result: The result of `benchmarks.prepare`.

    Returns:
        Markdown.
    """
    machine = result["machine"]
    lines = [
        f"| rows ({machine['cores']} cores, Daft {machine['versions']['daft']}) | stored | where | rows a second | "
        "peak memory, anonymous (resident) | bytes a row in shards |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['rows']:,} | {_KINDS[row['kind']]} | {row['runner']} | {row['rows_per_s']:,.0f} | "
        f"{row['peak_anonymous_mib']} MiB ({row['peak_resident_mib']} MiB) | {row['row_bytes']:,} |"
        for row in result["rows"]
    ]
    return "\n".join(lines) + "\n"


def latents_table(result: dict[str, Any]) -> str:
    """Bytes of a latent against what they lose.

    Args:
        result: What `benchmarks.latents` wrote.

    Returns:
        Markdown.
    """
    lines = [
        f"| latents stored as (VAE: {result['vae']}; its own pictures: {result['vae_psnr_db']:.1f} dB) | "
        "bits a value | bytes a row at 256 px | squared error over variance | decoded, against float32 |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row['way']} | {row['bits_a_value']:.1f} | {row['row_bytes_at_256_px']:,} | {row['relative_error']:.1e} | "
        f"{row['psnr_db']:.1f} dB |"
        for row in result["rows"]
    ]
    return "\n".join(lines) + "\n"


def write_guide() -> str:
    """Replace the tables in the organisers' guide; returns the tables."""
    made = (("prepare", prepare_table), ("latents", latents_table))
    tables = "\n".join(table(json.loads((RESULTS / f"{name}.json").read_text("utf-8"))) for name, table in made)
    replace_between(_GUIDE, _BEGIN, tables, _END)
    return tables
