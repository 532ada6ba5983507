"""A small classifier of the digits. Distances between sets of pictures are measured on what it sees in them.

It learns from the training part alone. Its features are standardised on that part, so that each counts as much as
any other, and so that the scale of its weights does not become the scale of a distance.

Shapes: N pictures, F 64 features.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.digits.data import NAMES, SIZE, Digits, as_gray
from paris.experts.seeding import generator_for, seed_for
from paris.experts.weights.checkpoint import load_tensors, save_tensors, specs_of

NUM_FEATURES = 64
_EPOCHS, _BATCH_ROWS, _LEARNING_RATE = 16, 64, 2e-3
_MOST_SHIFT_PX = 2


class DigitClassifier(nn.Module):
    """Two convolutions, 64 features, ten classes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (SIZE // 4) ** 2, NUM_FEATURES),
        )
        self.head = nn.Sequential(nn.GELU(), nn.Dropout(0.2), nn.Linear(NUM_FEATURES, len(NAMES)))
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("deviation", torch.ones(NUM_FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures `[N, 1, 16, 16]` in [0, 1] to logits `[N, 10]`."""
        return self.head(self.body(x))

    @torch.no_grad()
    def features(self, pictures: np.ndarray) -> np.ndarray:
        """What the classifier sees: the inputs of its last layers, standardised on the training part.

        Args:
            pictures: As `as_gray` takes them.

        Returns:
            float64 `[N, 64]`.
        """
        parts = [self.body(part) for part in _as_input(pictures).split(1024)]
        return ((torch.cat(parts) - self.mean) / self.deviation).double().numpy()

    @torch.no_grad()
    def classify(self, pictures: np.ndarray) -> np.ndarray:
        """The digit that each picture most looks like, int64 `[N]`; pictures as `as_gray` takes them."""
        return torch.cat([self(part) for part in _as_input(pictures).split(1024)]).argmax(1).numpy()


def train_classifier(training: Digits, seed: int, epochs: int = _EPOCHS) -> DigitClassifier:
    """Learn from the training part, each picture shifted by up to 2 px whenever it is seen.

    Args:
        training: The training part, and nothing of the held-out one.
        seed: Of initial weights, order, shifts and dropout.
        epochs: Passes over the training part.

    Returns:
        The classifier, ready to use. The same for the same arguments, machine and number of threads.
    """
    pictures, labels = _as_input(training.pictures), torch.from_numpy(training.labels)
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(seed, "classifier"))
        model = DigitClassifier()
        optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.02)
        steps = epochs * -(-len(labels) // _BATCH_ROWS)
        decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps)
        for epoch in range(epochs):
            order = torch.randperm(len(labels), generator=generator_for(seed, "classifier", epoch))
            for rows in order.split(_BATCH_ROWS):
                loss = F.cross_entropy(model(_shifted(pictures[rows])), labels[rows], label_smoothing=0.05)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                decay.step()
    model.eval().requires_grad_(False)
    seen = torch.from_numpy(model.features(training.pictures))
    model.mean.copy_(seen.mean(0))
    model.deviation.copy_(seen.std(0).clamp(min=1e-6))
    return model


def save_classifier(path: Path, model: DigitClassifier) -> None:
    """Write it as safetensors, whole or not at all."""
    save_tensors(path, model.state_dict())


def load_classifier(path: Path) -> DigitClassifier:
    """Read what `save_classifier` wrote.

    Raises:
        CheckpointError: Missing, of another shape, or not finite.
    """
    model = DigitClassifier()
    model.load_state_dict(load_tensors(path, specs_of(model.state_dict())))
    return model.eval().requires_grad_(False)


def _as_input(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(as_gray(pictures))[:, None]


def _shifted(x: Tensor) -> Tensor:
    """Each picture moved by its own few pixels, paper coming in at the edges."""
    most = _MOST_SHIFT_PX
    padded = F.pad(x, (most,) * 4)
    moves = torch.randint(0, 2 * most + 1, (len(x), 2))
    reach = torch.arange(SIZE)
    rows, columns = (moves[:, axis, None] + reach for axis in (0, 1))
    return padded[torch.arange(len(x))[:, None, None], 0, rows[:, :, None], columns[:, None, :]][:, None]
