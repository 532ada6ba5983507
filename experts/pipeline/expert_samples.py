"""Rows drawn by the experts, for a router that is trained without data.

    <folder>/samples.json                              the request: all that decides the rows
    <folder>/train/expert-000/shard-00000.parquet      drawn by expert 0 alone, without guidance
    <folder>/heldout/...                               other rows of the same kind

A complete shard is not drawn again; one that was interrupted is drawn whole. Rows of another request are removed first.

Source: proposed in McAllister et al., arXiv 2501.05450, for data that has to stay where it is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field

from paris.experts.data.cluster import ClusterData
from paris.experts.data.shards import Row, write_shard
from paris.experts.errors import SamplingError, ShardError
from paris.experts.files import write_whole
from paris.experts.frozen.codec import Codec
from paris.experts.frozen.text import TextEncoder
from paris.experts.sampling.experts import Ensemble, ExpertMap, ExpertSource
from paris.experts.sampling.guidance import Guidance
from paris.experts.sampling.prompts import Prompts
from paris.experts.sampling.sample import sample
from paris.experts.sampling.settings import SamplingSettings
from paris.experts.seeding import generator_for
from paris.experts.settings import Settings

_RECORD = "samples.json"
_ROWS_TOGETHER = 64
_NULL = ("",)
_SPLITS = ("train", "heldout")

Drawn = tuple[list[ClusterData], list[ClusterData]]
"""Training rows and held-out rows of each expert; the latter empty where none were asked for."""


class ExpertSamples(Settings):
    """What is drawn: all that decides the rows."""

    experts: tuple[str, ...]
    """SHA-256 of each expert's weights, in order."""
    counts: tuple[Annotated[int, Field(ge=1)], ...]
    """Rows of each expert. In the clusters' proportions: the router's prior is what it is trained on."""
    heldout: tuple[Annotated[int, Field(ge=0)], ...]
    """Further rows of each expert to judge the router by; zeros where there are real ones."""
    prompts_sha256: str
    """Digest of the prompts."""
    seed: Annotated[int, Field(ge=0)]
    num_steps: Annotated[int, Field(ge=1)]
    solver: str
    time_shift: Annotated[float, Field(gt=0)] = 1.0
    rows_per_shard: Annotated[int, Field(ge=1)] = 512

    @property
    def sampling(self) -> SamplingSettings:
        """Of one expert alone, without guidance."""
        fields = {"num_steps": self.num_steps, "solver": self.solver, "time_shift": self.time_shift}
        return SamplingSettings.from_settings({**fields, "guidance": Guidance()})

    def shards(self, split: str, number: int) -> dict[str, range]:
        """File, relative to the folder, and rows of each shard of one expert; `split` is "train" or "heldout"."""
        count, most = (self.counts if split == "train" else self.heldout)[number], self.rows_per_shard
        cuts = [range(first, min(first + most, count)) for first in range(0, count, most)]
        return {f"{split}/expert-{number:03d}/shard-{i:05d}.parquet": cut for i, cut in enumerate(cuts)}

    def rows(self, folder: Path) -> Drawn:
        """The rows of a complete folder."""
        found: list[list[ClusterData]] = []
        for split in _SPLITS:
            names = [list(self.shards(split, number)) for number in range(len(self.experts))]
            found.append([ClusterData([folder / name for name in own]) for own in names if own])
        return found[0], found[1]


def read_samples(folder: Path) -> Drawn:
    """Open the rows of a `SampleFolder`.

    Raises:
        ShardError: There are none, or not all.
        SettingsError: They were drawn by another version.
    """
    record = folder / _RECORD
    if not record.is_file():
        raise ShardError(f"{folder} holds no samples of the experts.", "Have them drawn first.")
    request = ExpertSamples.from_settings(json.loads(record.read_bytes()))
    for split in _SPLITS:
        for number in range(len(request.experts)):
            missing = [name for name in request.shards(split, number) if not (folder / name).is_file()]
            if missing:
                raise ShardError(f"{folder} lacks {missing[0]}.", "Have the rest drawn first.")
    return request.rows(folder)


def in_proportion(cluster_rows: Sequence[int], mean: int) -> tuple[int, ...]:
    """Rows of each expert, in the proportions of the clusters' rows, `mean` on average and at least 1 each."""
    total, wanted = sum(cluster_rows), mean * len(cluster_rows)
    return tuple(max(1, round(wanted * rows / total)) for rows in cluster_rows)


class SampleFolder:
    """Draws the rows of a request, once.

    Args:
        folder: Made where it does not exist.
        request: All that decides the rows.
        experts: All, by number.
        encoder: The run's text encoder.
        codec: Converts latents to stored rows.
        prompts: Prompts of each expert; none for the null prompt.
        device: Where the experts are.
    """

    def __init__(
        self,
        folder: Path,
        request: ExpertSamples,
        experts: ExpertSource,
        encoder: TextEncoder,
        codec: Codec,
        prompts: Sequence[Sequence[str]],
        device: torch.device | str = "cpu",
    ) -> None:
        self._folder, self._request = folder, request
        self._experts, self._encoder, self._codec = experts, encoder, codec
        self._prompts = [tuple(own) or _NULL for own in prompts]
        self._device = torch.device(device)

    def draw(self, on_rows: Callable[[int], None] = lambda _: None) -> Drawn:
        """Draw the missing shards; `on_rows` is called after each with the number of rows so far.

        Raises:
            SamplingError: An expert draws values that are not finite.
            CheckpointError: An expert cannot be read.
            DiskFullError: No space; complete shards stay.
        """
        self._settle()
        done = 0
        for split in _SPLITS:
            for number in range(len(self._request.experts)):
                for name, rows in self._request.shards(split, number).items():
                    self._draw_shard(self._folder / name, split, number, rows)
                    done += len(rows)
                    on_rows(done)
        return self._request.rows(self._folder)

    def _settle(self) -> None:
        """Continue the folder if it has the same request; else remove its rows and start it."""
        record = self._folder / _RECORD
        wanted = json.dumps(self._request.to_settings(), indent=1).encode()
        if record.is_file() and record.read_bytes() == wanted:
            return
        shutil.rmtree(self._folder, ignore_errors=True)
        write_whole(record, wanted)

    def _draw_shard(self, path: Path, split: str, number: int, rows: range) -> None:
        """One shard, where it is not there."""
        if not path.is_file():
            cuts = [rows[at : at + _ROWS_TOGETHER] for at in range(0, len(rows), _ROWS_TOGETHER)]
            drawn = [row for cut in cuts for row in self._rows(split, number, cut)]
            write_shard(path, drawn, drawn[0].latent.shape, self._codec.dtype)

    def _rows(self, split: str, number: int, index: range) -> list[Row]:
        """Some rows, each a function of its own number, of its expert and the seed."""
        request, own = self._request, self._prompts[number]
        seeds = [generator_for(request.seed, "expert-sample", split, number, row) for row in index]
        captions = [own[int(torch.randint(len(own), (), generator=seed))] for seed in seeds]
        states, mask = self._encoder.encode(captions)
        expert = Ensemble(ExpertMap({number: self._experts[number]}))
        drawn = sample(expert, Prompts(states.to(self._device), mask.to(self._device)), seeds, request.sampling)
        if not drawn.isfinite().all():
            raise SamplingError(f"Expert {number} draws values that are not finite.", "Have it trained again.")
        latents = self._codec.to_stored(drawn)
        return [
            Row(f"{split}-{number}-{row}", latent, caption, f"drawn by expert {number}", "", "", "", "prompt")
            for row, latent, caption in zip(index, latents, captions, strict=True)
        ]
