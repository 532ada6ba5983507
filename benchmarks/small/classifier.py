"""A small classifier of a data set's classes. Distances between sets of pictures are measured on what it sees in them.

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

from benchmarks.small.pictures import Pictures, unit_pixels
from paris.experts.seeding import generator_for
from paris.experts.seeds import seed_for
from paris.experts.weights.checkpoint import load_tensors, save_tensors, specs_of

NUM_FEATURES = 64
_BATCH_ROWS, _LEARNING_RATE = 64, 2e-3
_MOST_SHIFT_PX = 2


class Classifier(nn.Module):
    """Two convolutions, 64 features, C classes.

    Args:
        side_px: Side of the pictures, S, a multiple of 4.
        num_classes: C.
    """

    def __init__(self, side_px: int, num_classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.GELU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(32 * (side_px // 4) ** 2, NUM_FEATURES),
        )
        self.head = nn.Sequential(nn.GELU(), nn.Dropout(0.2), nn.Linear(NUM_FEATURES, num_classes))
        self.register_buffer("mean", torch.zeros(NUM_FEATURES))
        self.register_buffer("deviation", torch.ones(NUM_FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        """Pictures `[N, 3, S, S]` in [0, 1] to logits `[N, C]`."""
        return self.head(self.body(x))

    @torch.no_grad()
    def features(self, pictures: np.ndarray) -> np.ndarray:
        """What the classifier sees: the inputs of its last layers, standardised on the training part.

        Args:
            pictures: As `unit_pixels` takes them.

        Returns:
            float64 `[N, 64]`.
        """
        parts = [self.body(part) for part in _as_input(pictures).split(1024)]
        return ((torch.cat(parts) - self.mean) / self.deviation).double().numpy()

    @torch.no_grad()
    def classify(self, pictures: np.ndarray) -> np.ndarray:
        """The class that each picture most looks like, int64 `[N]`; pictures as `unit_pixels` takes them."""
        return torch.cat([self(part) for part in _as_input(pictures).split(1024)]).argmax(1).numpy()


def train_classifier(training: Pictures, num_classes: int, seed: int, epochs: int) -> Classifier:
    """Learn from the training part, each picture shifted by up to 2 px whenever it is seen.

    Args:
        training: The training part, and nothing of the held-out one.
        num_classes: C.
        seed: Of initial weights, order, shifts and dropout.
        epochs: Passes over the training part.

    Returns:
        The classifier, ready to use. The same for the same arguments, machine and number of threads.
    """
    pictures, labels = _as_input(training.pixels), torch.from_numpy(training.labels)
    with torch.random.fork_rng():
        torch.manual_seed(seed_for(seed, "classifier"))
        model = Classifier(training.pixels.shape[1], num_classes)
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
    seen = torch.from_numpy(model.features(training.pixels))
    model.mean.copy_(seen.mean(0))
    model.deviation.copy_(seen.std(0).clamp(min=1e-6))
    return model


def save_classifier(path: Path, model: Classifier) -> None:
    """Write it as safetensors, whole or not at all."""
    save_tensors(path, model.state_dict())


def load_classifier(path: Path, side_px: int, num_classes: int) -> Classifier:
    """Read what `save_classifier` wrote.

    Args:
        path: The file.
        side_px: As it was made with.
        num_classes: As it was made with.

    Raises:
        CheckpointError: Missing, of another shape, or not finite.
    """
    model = Classifier(side_px, num_classes)
    model.load_state_dict(load_tensors(path, specs_of(model.state_dict())))
    return model.eval().requires_grad_(False)


def _as_input(pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(unit_pixels(pictures)).permute(0, 3, 1, 2)


def _shifted(x: Tensor) -> Tensor:
    """Each picture moved by its own few pixels, its edge repeated where something comes in."""
    most = _MOST_SHIFT_PX
    padded = F.pad(x, (most,) * 4, mode="replicate")
    moves = torch.randint(0, 2 * most + 1, (len(x), 2))
    reach = torch.arange(x.shape[2])
    rows, columns = (moves[:, axis, None] + reach for axis in (0, 1))
    picks = (torch.arange(len(x))[:, None, None, None], torch.arange(3)[:, None, None])
    return padded[*picks, rows[:, None, :, None], columns[:, None, None, :]]
