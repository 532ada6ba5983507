"""More experts than memory: N of them resident, the others in host memory or on disk.

Each resident expert has a slot: a network whose tensors are allocated once and overwritten, with an expert of the same
size. A thread fills the next
slot while the expert in another computes:

    bank = ExpertBank.open(folder, layout, "cuda", torch.bfloat16, max_resident_experts=2)
    expert = bank[3]      waits until expert 3 is in its slot; the one asked for before may now be evicted
    bank.prefetch(5)      starts to fill another slot, and returns at once
    expert(x, t, text)    computes meanwhile

The least recently used expert of the size is evicted, never the one that was asked for last. An expert is valid until
the next one is taken, by any thread: sampling takes and runs experts inside `exclusive`. A copy of a bank, and a
pickled one, has weights of its own and reads the same files.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

import torch

from paris.experts.errors import SamplingError, SettingsError
from paris.experts.locks import ReentrantLock
from paris.experts.models.model import DiTExpert
from paris.experts.models.presets import ModelConfig
from paris.experts.objectives.objectives import VelocityModel, as_velocity
from paris.experts.release.layout import expert_path
from paris.experts.release.layout_fields import Layout
from paris.experts.release.transfer import Transfer, empty_expert
from paris.experts.sampling.experts import ExpertSource
from paris.experts.weights.checkpoint import TensorSpec, specs_of
from paris.experts.weights.weights_file import WeightsFile

Keep = Literal["memory", "disk"]


class BankStats(NamedTuple):
    """The cost of fetching since the bank was opened."""

    fetches: int = 0
    """Experts brought into a slot."""
    fetch_s: float = 0.0
    """Seconds of this, in any thread."""
    waited_s: float = 0.0
    """Seconds spent waiting for experts."""

    @property
    def hidden(self) -> float:
        """The share of the fetching that ran beside computing, in [0, 1]."""
        return max(0.0, 1.0 - self.waited_s / self.fetch_s) if self.fetch_s else 1.0


class _Fetch(NamedTuple):
    """One expert on its way into a slot."""

    number: int
    slot: DiTExpert
    seconds: Future[float]


class ExpertBank(ExpertSource):
    """The experts of a model's folder, not all of them in memory at once. Made by `open`."""

    def __init__(
        self, layout: Layout, files: list[WeightsFile], slots: list[DiTExpert], transfer: Transfer, keep: Keep | None
    ) -> None:
        self._config, self._sizes = layout.model, layout.sizes
        self.networks = tuple(slots)
        """The networks of all slots, full or not: to compile them, for example."""
        self._objectives, self._files, self._transfer, self._keep = layout.objectives, files, transfer, keep
        self._empty = list(slots)
        self._full: OrderedDict[int, DiTExpert] = OrderedDict()
        """Resident experts, the least recently used first."""
        self._velocities: dict[int, VelocityModel] = {}
        self._in_use: int | None = None
        self._under_way: _Fetch | None = None
        self._stats = BankStats()
        self._lock = ReentrantLock()
        self._thread: ThreadPoolExecutor | None = _fetch_thread()

    @classmethod
    def open(
        cls,
        folder: Path,
        layout: Layout,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        max_resident_experts: int | None = None,
        keep: Keep | None = None,
    ) -> Self:
        """Check the headers of all experts' files, and allocate the slots.

        Args:
            folder: A model's folder.
            layout: From `read_layout`.
            device: Where experts compute.
            dtype: What they compute in; the files may hold another.
            max_resident_experts: Experts of one size in the device's memory at once; None: all, loaded now.
            keep: Where the others are: "memory", the host's (page-locked for CUDA), or "disk", read each time. None:
                memory where the device has its own, disk where that would be the same memory (CPU, MPS).

        Raises:
            CheckpointError: A file has another model's names or shapes; where all are loaded, also a value that is
                not finite. The message names the expert.
            SettingsError: `max_resident_experts` is less than 1.
        """
        if max_resident_experts is not None and max_resident_experts < 1:
            raise SettingsError(f"max_resident_experts is {max_resident_experts}, at least 1 is needed.")
        counts = Counter(layout.sizes)
        num_slots = {size: min(count, max_resident_experts or count) for size, count in counts.items()}
        expected = {size: _specs_of(size) for size in counts}
        files = [WeightsFile(expert_path(folder, k), f"expert_{k}", expected[s]) for k, s in enumerate(layout.sizes)]
        place = torch.device(device)
        slots = [empty_expert(size, place, dtype) for size, count in num_slots.items() for _ in range(count)]
        keep = "disk" if num_slots == counts else keep
        bank = cls(layout, files, slots, Transfer(files, place, dtype, keep), keep)
        if max_resident_experts is None:
            for number in bank:
                bank[number]
            bank._transfer.forget()
        return bank

    def __len__(self) -> int:
        """Experts in all, K."""
        return len(self._files)

    def __iter__(self) -> Iterator[int]:
        """The experts' numbers."""
        return iter(self.keys())

    def __contains__(self, number: object) -> bool:
        return number in self.keys()

    @property
    def config(self) -> ModelConfig:
        """The shape of the largest expert."""
        return self._config

    def keys(self) -> range:
        """The experts' numbers, 0 to K - 1."""
        return range(len(self._files))

    @property
    def resident(self) -> list[int]:
        """Experts in a slot, the least recently used first, then the one under way."""
        return [*self._full, *([self._under_way.number] if self._under_way else [])]

    def exclusive(self) -> AbstractContextManager[object]:
        """See `ExpertSource.exclusive`; where every expert has a slot of its own, threads need not wait."""
        return nullcontext() if len(self.networks) == len(self) else self._lock

    @property
    def stats(self) -> BankStats:
        """The cost of fetching so far."""
        return self._stats

    def __getitem__(self, number: int) -> VelocityModel:
        """Expert `number`, until the next one is taken; waits until it is resident.

        Raises:
            CheckpointError: Its file has changed, cannot be read, or holds a value that is not finite.
            SamplingError: There is no such expert, or the bank is closed.
        """
        with self._lock:
            if number not in self._full:
                self._wait_for(number)
            self._full.move_to_end(number)
            self._in_use = number
            return self._velocities[number]

    def prefetch(self, number: int) -> None:
        """Start to fetch an expert that is needed soon, and return at once.

        No-op if it is resident, another fetch is under way, or the only slot of its size is in use.

        Raises:
            SamplingError: There is no such expert, or the bank is closed.
        """
        with self._lock:
            if number in self._full or (self._under_way and not self._under_way.seconds.done()):
                return
            self._settle()
            if number not in self._full and self._may_begin(number):
                self._begin(number)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Self:
        """Move all slots; None: as before. Another dtype empties them: the files may be more precise."""
        with self._lock:
            self._settle()
            place = self._transfer.device if device is None else torch.device(device)
            if dtype is not None and dtype != self._transfer.dtype:
                self._empty.extend(self._full.values())
                self._full.clear()
                self._velocities.clear()
                self._in_use = None
            for network in self.networks:
                network.to(place, dtype)
            self._transfer = Transfer(self._files, place, dtype or self._transfer.dtype, self._keep)
        return self

    def close(self) -> None:
        """End the thread, after the fetch that is under way, and free all memory. May be called twice."""
        with self._lock:
            if self._thread is not None:
                self._thread.shutdown(wait=True, cancel_futures=True)
            self._thread = self._under_way = self._in_use = None
            self._full.clear()
            self._velocities.clear()
            self._empty.clear()
            self.networks = ()
            self._transfer.forget()

    def __getstate__(self) -> dict[str, Any]:
        with self._lock:
            self._settle()
            return {**vars(self), "_thread": self._thread is not None, "_full": self._full.copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _thread=_fetch_thread() if state["_thread"] else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for(self, number: int) -> None:
        """Bring an expert into a slot."""
        begun = time.perf_counter()
        if self._under_way is None or self._under_way.number != number:
            # An error of a fetch that was not needed is raised when that expert is asked for.
            self._settle()
            self._in_use = None
            self._begin(number)
        error = self._settle()
        if error is not None:
            raise error
        self._stats = self._stats._replace(waited_s=self._stats.waited_s + time.perf_counter() - begun)

    def _may_begin(self, number: int) -> bool:
        """Whether a slot can be had for an expert; True for one that there is not, which `_begin` refuses."""
        if number not in self.keys():
            return True
        size = self._sizes[number]
        held = (slot.config for k, slot in self._full.items() if k != self._in_use)
        return size in held or any(slot.config == size for slot in self._empty)

    def _begin(self, number: int) -> None:
        """Start a fetch into an empty slot, or that of the least recently used expert which is not in use."""
        if self._thread is None:
            raise SamplingError("The experts are closed.", "Open the model again.")
        if number not in self.keys():
            raise SamplingError(f"There is no expert {number!r}, there are {len(self)}.")
        size = self._sizes[number]
        if not any(slot.config == size for slot in self._empty):
            oldest = next(k for k, slot in self._full.items() if k != self._in_use and slot.config == size)
            self._empty.append(self._full.pop(oldest))
            del self._velocities[oldest]
        slot = self._empty.pop(next(i for i, slot in enumerate(self._empty) if slot.config == size))
        seconds = self._thread.submit(self._transfer.fetch, number, slot, self._transfer.work_so_far())
        self._under_way = _Fetch(number, slot, seconds)

    def _settle(self) -> BaseException | None:
        """Wait for the fetch that is under way, if any: its slot is then full, or empty and the error returned."""
        if self._under_way is None:
            return None
        number, slot, seconds = self._under_way
        error = seconds.exception()  # waits; an interrupt here leaves the fetch under way
        self._under_way = None
        self._empty.append(slot)
        if error is not None:
            return error
        fetch_s = seconds.result() + self._transfer.place(number, slot)
        self._full[number] = self._empty.pop()
        self._velocities[number] = as_velocity(slot, self._objectives[number])
        self._stats = self._stats._replace(fetches=self._stats.fetches + 1, fetch_s=self._stats.fetch_s + fetch_s)
        return None


def _specs_of(size: ModelConfig) -> dict[str, TensorSpec]:
    with torch.device("meta"):
        return specs_of(DiTExpert(size).state_dict())


def _fetch_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="expert-fetch")
