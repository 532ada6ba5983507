"""Lines of a report about the released model: recognition, distances, nearest training pictures, losses."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten
from typing import Any

_MAX_CELL_CHARS = 80
RIGHT_SEEDS = {"own": "nearest by features", "classes": "recognised"}
"""Seeds of the grid that are right, in words, by what the captions are good for."""


def model_rows(report: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of the main figures; none without a release."""
    rows = _recognition_rows(report.get("recognition", {}))
    if distances := report.get("distances", {}):
        rows.append(("samples that look like data", _beside(distances, "precision", "{:.0%}")))
        rows.append(("data that samples reach", _beside(distances, "recall", "{:.0%}")))
        rows.append(("kernel distance from held-out pictures", _beside(distances, "kernel", "{:.3f}")))
    if nearest := report.get("nearest", {}):
        secret = nearest.get("copies_of_heldout")
        others = "" if secret is None else f" (held-out pictures: {secret:.0%})"
        rows.append(("samples that copy a training picture", f"{nearest['copies']:.0%}{others}"))
    if ratios := [loss["heldout"] / loss["training"] for loss in report.get("losses", {}).values()]:
        spread = f"{sum(ratios) / len(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rows.append(("held-out loss over training loss, mean of experts", spread))
    return rows


def model_lines(report: dict[str, Any]) -> list[str]:
    """Markdown sections; none without a release."""
    return [*_recognition_lines(report.get("recognition", {})), *_distance_lines(report), *_heart_lines(report)]


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    return lines + ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]


def _recognition_rows(recognition: dict[str, Any]) -> list[tuple[str, str]]:
    if not recognition:
        return []
    kind, rows = recognition["kind"], []
    if kind == "none":
        return [("prompts", f"not measured: {recognition['why']}")]
    if words := recognition.get("shared_words"):
        secret = "" if words["heldout"] is None else f"held-out pictures {words['heldout']:.2f}, "
        what = f"{words['samples']:.2f} ({secret}chance {words['chance']:.2f})"
        rows.append(("words shared with the caption of the nearest picture", what))
    if kind == "texts":
        return rows
    rate, chance, count = (recognition[name] for name in ("rate", "chance", "num_captions"))
    measured = [prompt for prompt in recognition["prompts"] if prompt["rate"] is not None]
    good = f"{sum(prompt['recognised'] for prompt in measured)} of {len(measured)}"
    if kind == "classes":
        real = recognition["heldout_rate"]
        of_data = "" if real is None else f"; of held-out pictures {real:.0%}"
        what = f"{rate:.0%} of {recognition['num_samples']} samples{of_data} (chance {chance:.0%})"
        rows += [(f"recognised by a classifier of {count} captions", what), ("prompts of the grid recognised", good)]
        return rows
    nearest = f"{rate:.0%} of {count} names (chance {chance:.1%})"
    own = [("samples nearest to their own picture", nearest), ("prompts of the grid nearest to theirs", good)]
    return [*own, *rows]


def _recognition_lines(recognition: dict[str, Any]) -> list[str]:
    if not recognition:
        return []
    how = {
        "own": "so a sample is right if the training picture nearest to it has its prompt as caption "
        f"(cosine of {recognition['embedder']} features).",
        "texts": "too many to know the picture of each, so what counts are the words that a prompt shares with the "
        f"caption of the training picture nearest to its sample (cosine of {recognition['embedder']} features).",
        "classes": "so a sample is right if a linear classifier of the captions, trained on training pictures, names "
        f"its prompt ({recognition['embedder']} features).",
        "none": "so no sample is compared with its prompt.",
    }[recognition["kind"]]
    lines = ["## Do samples show what their prompts say", "", f"Here {recognition['why']}, {how}", ""]
    if words := recognition.get("shared_words"):
        heldout = "" if words["heldout"] is None else f"{words['heldout']:.2f} between held-out pictures and theirs, "
        lines += [
            "Words that a prompt shares with the caption of the picture nearest to its sample (Jaccard similarity): "
            f"{words['samples']:.2f}; {heldout}{words['chance']:.2f} by chance.",
            "",
        ]
    shown = [
        (_short(p["prompt"]), _short(p["caption"] or "-"), "-" if p["rate"] is None else f"{p['rate']:.0%}")
        for p in recognition["prompts"]
    ]
    if shown:
        head = ("prompt of the grid", "measured by the caption", f"seeds {RIGHT_SEEDS[recognition['kind']]}")
        lines += [*markdown_table(head, shown), ""]
    if by_caption := recognition.get("by_caption"):
        rates = [(caption, f"{rate:.0%}") for caption, rate in by_caption.items()]
        lines += [*markdown_table(("caption", "samples recognised"), rates), ""]
    return lines


def _distance_lines(report: dict[str, Any]) -> list[str]:
    distances = report.get("distances", {})
    if not distances:
        return []
    names = {
        "precision": "share of samples that lie among the data (precision)",
        "recall": "share of the data that lies among samples (recall)",
        "kernel": "squared kernel distance (KID's kernel)",
    }
    rows = [(text, f"{distances[name]:.3f}", f"{distances[f'{name}_of_data']:.3f}") for name, text in names.items()]
    head = (f"{distances['num_rows']} pictures against held-out ones", "samples", "training pictures")
    return ["## How far samples are from data", "", *markdown_table(head, rows), ""]


def _heart_lines(report: dict[str, Any]) -> list[str]:
    nearest, losses = report.get("nearest", {}), report.get("losses", {})
    lines = []
    if nearest:
        measure = nearest["measure"]
        of_all = "" if nearest["num_rows"] == nearest["num_all_rows"] else f" of {nearest['num_all_rows']}"
        lines += [
            f"nearest.png shows the nearest of {nearest['num_rows']}{of_all} training pictures beside each sample,",
            f"by {measure}.",
            "Whether a sample shows its prompt is measured by features, where another picture may be nearest.",
            "A picture is a copy if the nearest training picture is less than a third as far away as the second.",
            "",
        ]
        rows = [("samples", f"{nearest['copies']:.1%}", f"{nearest['distance']:.3f}")]
        if "copies_of_heldout" in nearest:
            secret = (f"{nearest['copies_of_heldout']:.1%}", f"{nearest['distance_of_heldout']:.3f}")
            rows.append(("held-out pictures", *secret))
        lines += [*markdown_table(("", "copies", "median distance from the nearest"), rows), ""]
    if losses:
        scored = [
            (f"expert-{k}", loss["num_rows"], f"{loss['heldout']:.4f}", f"{loss['training']:.4f}")
            + (f"{loss['heldout'] / loss['training']:.2f}",)
            for k, loss in losses.items()
        ]
        head = ("expert", "rows of either side", "held-out loss", "training loss", "ratio")
        lines += ["An expert that learned its pictures by heart has a far larger loss on held-out rows.", ""]
        lines += [*markdown_table(head, scored), ""]
    return ["## Learned, or learned by heart", "", *lines] if lines else []


def _short(text: str) -> str:
    return shorten(text, _MAX_CELL_CHARS, placeholder="...")


def _beside(distances: dict[str, Any], name: str, form: str) -> str:
    return f"{form.format(distances[name])} (training pictures: {form.format(distances[f'{name}_of_data'])})"
