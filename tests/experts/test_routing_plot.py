"""The plot of a routing trace, looked at as a picture."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from deadlines import DEADLINE_S
from PIL import Image

from paris.experts.errors import SamplingError
from paris.experts.sampling import trace as trace_module
from paris.experts.sampling.trace import RoutingTrace, plot_routing


def make_trace(pictures=1, experts=3, steps=4):
    """Expert 0 alone in the first half of the way, the last expert alone in the second."""
    weights = torch.zeros(steps, pictures, experts)
    weights[: steps // 2, :, 0] = 1
    weights[steps // 2 :, :, -1] = 1
    return RoutingTrace(tuple(range(experts)), tuple(1 - s / steps for s in range(steps)), weights)


def colors_along(path):
    """Colours in the middle row of the plot, left to right, each once where it is broad."""
    row = np.asarray(Image.open(path).convert("RGB"))
    row = row[int(row.shape[0] * 0.45)]
    changes = np.flatnonzero((row[1:] != row[:-1]).any(1))
    starts, ends = np.append(0, changes + 1), np.append(changes, len(row) - 1)
    return [tuple(row[a].tolist()) for a, b in zip(starts, ends, strict=True) if b - a > 40]


def test_the_share_of_each_expert_is_drawn_over_the_way_from_noise_to_data(tmp_path):
    plot_routing(make_trace(), tmp_path / "plot.png")
    broad = [color for color in colors_along(tmp_path / "plot.png") if color != (255, 255, 255)]
    assert broad == [(31, 119, 180), (44, 160, 44)]


def test_titles_pictures_and_many_experts_fit_in(tmp_path):
    trace = make_trace(pictures=3, experts=24)
    pictures = [np.full((8, 8, 3), 200, np.uint8), Image.new("RGB", (4, 4)), np.zeros((8, 8, 3), np.uint8)]
    plot_routing(trace, tmp_path / "plot.svg", titles=["a", "b" * 90, "c"], pictures=pictures, columns=2)
    text = (tmp_path / "plot.svg").read_text()
    assert text.count("<image") == 3
    assert "expert 23" in text
    assert "expert 5" not in text
    assert "flow time t (1 noise, 0 data)" in text


def test_of_very_many_pictures_the_first_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr(trace_module, "MAX_PANELS", 2)
    plot_routing(make_trace(3), tmp_path / "plot.svg", titles=["picture-0", "picture-1", "picture-2"])
    text = (tmp_path / "plot.svg").read_text()
    assert "picture-1" in text
    assert "picture-2" not in text


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("plot.txt", {}, "cannot be written as 'plot.txt'.*png"),
        ("plot", {}, "cannot be written as 'plot'"),
        ("plot.png", {"titles": ["a", "b"]}, "2 titles for the 1 pictures"),
        ("plot.png", {"pictures": []}, "0 pictures for the 1 pictures"),
    ],
)
def test_what_cannot_be_drawn_is_named_and_nothing_is_written(tmp_path, name, more, message):
    with pytest.raises(SamplingError, match=message):
        plot_routing(make_trace(), tmp_path / name, **more)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_the_error_says_what_to_install(tmp_path):
    probe = (
        "import sys; sys.modules['matplotlib'] = None; from pathlib import Path;"
        "from paris.experts.sampling.trace import check_plot; from paris.experts.errors import MissingModuleError\n"
        "try: check_plot(Path('plot.png'))\n"
        "except MissingModuleError as error: print(error.next_step)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S, cwd=tmp_path
    )
    assert answer.stdout == "Install it: pip install 'paris-swarm[coordinator]'\n", answer.stderr
