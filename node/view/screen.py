"""The live view as lines of text: pure, so that it can be tested at any width."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from paris.node.view.board import NodeStatus
from paris.node.view.words import duration_in_words
from paris.protocol.counted import counted
from paris.protocol.printable import on_one_line

_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
"""One eighth of a line high to the whole of it."""
_MOST_COLUMNS = 60
_GAP = "   "


def screen(status: NodeStatus, now: float, columns: int, *, has_blocks: bool, node: str = "") -> list[str]:
    """The lines that stand below the events; none longer than the terminal is wide.

    Args:
        status: What is shown.
        now: UTC seconds.
        columns: Of the terminal.
        has_blocks: Whether it can show block characters: then the losses are drawn.
        node: Which of several nodes it is; empty: the only one.
    """
    title = f"{node}: {_title(status)}" if node else _title(status)
    lines = [title, *_packed(_work(status), columns)]
    if has_blocks and len(status.losses) > 1 and status.state in ("training", "paused", "resuming"):
        lines.append(f"loss {sparkline(status.losses, min(columns - 5, _MOST_COLUMNS))}")
    lines += _packed([*_figures(status, now), *_machine(status)], columns)
    return [line[:columns] for line in lines]


def sparkline(values: Sequence[float], columns: int) -> str:
    """Values as blocks of eight heights, the mean of neighbours where there are more than columns.

    Args:
        values: Oldest first; at least one.
        columns: At least 1.
    """
    columns = max(1, min(columns, len(values)))
    cuts = [index * len(values) // columns for index in range(columns + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((mean - low) * scale)] for mean in means)


def _title(status: NodeStatus) -> str:
    if status.task_id is None:
        return status.state
    return f"{status.task_id}: {status.state}"


def _work(status: NodeStatus) -> list[str]:
    cells = []
    if status.state == "paused" and status.why:
        cells.append(on_one_line(status.why))
    if status.share is not None:
        cells.append(f"step {status.step} of {status.end}, {100 * status.share:.0f} %")
        cells += [f"leg {status.begin} to {status.end} of {status.steps}"] if status.is_leg else []
    if status.loss is not None:
        cells.append(f"loss {status.loss:.4f}")
    if status.state == "training" and status.steps_per_s:
        cells.append(f"{status.steps_per_s:.2f} steps/s")
        cells += [f"{duration_in_words(status.eta_s)} to go"] if status.eta_s is not None else []
    return cells + _upload(status)


def _upload(status: NodeStatus) -> list[str]:
    if status.state != "uploading" or status.upload_bytes is None:
        return []
    whole = f"{status.upload_bytes / 1e6:.1f} MB"
    if status.upload_share is None or status.upload_sent_bytes is None:
        return [whole]
    cells = [f"{status.upload_sent_bytes / 1e6:.1f} of {whole}, {100 * status.upload_share:.0f} %"]
    if status.upload_bytes_per_s:
        left_s = (status.upload_bytes - status.upload_sent_bytes) / status.upload_bytes_per_s
        cells += [f"{status.upload_bytes_per_s / 1e6:.2f} MB/s", f"{duration_in_words(left_s)} to go"]
    return cells


def _figures(status: NodeStatus, now: float) -> list[str]:
    cells = []
    if status.snapshot_step is not None and status.snapshot_at is not None:
        cells.append(f"snapshot {status.snapshot_step}, {duration_in_words(max(0.0, now - status.snapshot_at))} ago")
    if status.state == "training" and status.heartbeat_at is not None:  # the trainer's reports bring its time
        cells.append(f"heartbeat {duration_in_words(max(0.0, now - status.heartbeat_at))} ago")
    if status.peers is not None:
        cells.append(counted(status.peers, "peer"))
    return cells


def _machine(status: NodeStatus) -> list[str]:
    cells = []
    if status.gpu_temperature_c is not None:
        cells.append(f"GPU {status.gpu_temperature_c:.0f} C")
    if status.gpu_power_w is not None:
        cells.append(f"{status.gpu_power_w:.0f} W")
    if status.credit_steps is not None:
        cells.append(f"{status.credit_steps} steps credited")
    return cells


def _packed(cells: Sequence[str], columns: int) -> list[str]:
    """Cells side by side, as many as a line takes."""
    lines: list[str] = []
    for cell in cells:
        if lines and len(lines[-1]) + len(_GAP) + len(cell) <= columns:
            lines[-1] += _GAP + cell
        else:
            lines.append(cell)
    return lines
