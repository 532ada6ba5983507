"""Pure rules: the number of experts, the picture's side, the shape of the model, batch, steps and deadlines.

The rules follow docs/quality.md where it measured, and say so.
"""

from __future__ import annotations

import math

from paris.coordinator.proposal.findings import Pictures
from paris.experts.models.flops import step_flops
from paris.experts.models.presets import ModelConfig

MIN_ROWS_PER_EXPERT = 20
"""Fewer pictures are refused."""
SIDES_PX = (64, 48, 40, 32, 28, 24, 20, 16)
"""Sides of pixel models, the largest first: multiples of the patch of 4."""
_EXPERTS = ((24_000, 16), (3_200, 8), (1_000, 4), (2 * MIN_ROWS_PER_EXPERT, 2))
_FIT_SHARE = 0.1
_SLOW_FLOPS_PER_S = 2e10
"""Floating-point operations a second of the slowest machine that deadlines are made for: two old CPU cores."""
DEADLINE_MARGIN = 4
"""Deadline over the work's duration there."""
MIN_DEADLINE_S = 1800
_HELDOUT_SHARE = 0.05


def experts_for(rows: int) -> int:
    """K by rows: 4 was best for 1,500 pictures, 8 for 4,000, 16 for 60,000 (docs/quality.md)."""
    return next((experts for least, experts in _EXPERTS if rows >= least), 1)


def side_for(pictures: Pictures) -> int:
    """The largest side of a pixel model that nine in ten pictures reach, px; 0 if none does."""
    reached = pictures.side_at(_FIT_SHARE)
    return next((side for side in SIDES_PX if side <= reached), 0)


def heldout_for(rows_per_expert: int) -> int:
    """Held-out rows of each cluster: a twentieth, at least 12, at most 512, and never more than a quarter."""
    wanted = min(512, max(12, math.ceil(_HELDOUT_SHARE * rows_per_expert)))
    return max(1, min(wanted, rows_per_expert // 4))


def batch_for(rows_per_expert: int) -> int:
    """Rows of one expert's step."""
    return 8 if rows_per_expert < 400 else 16 if rows_per_expert < 4000 else 32


def steps_for(rows: int) -> int:
    """Steps of each expert by the rows of all; docs/quality.md trained 3,900 on 4,000 rows."""
    return 2000 if rows < 1000 else 4000 if rows < 20_000 else 10_000 if rows < 200_000 else 50_000


def slow_work_s(model: ModelConfig, batch_size: int, steps: int) -> float:
    """Training of one expert on the slowest machine that deadlines are made for, in seconds."""
    return steps * step_flops(model, model.max_text_tokens, batch_size) / _SLOW_FLOPS_PER_S
