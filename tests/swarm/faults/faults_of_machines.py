"""The Hub's answers, networks, clocks, disks and files."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from deadlines import DEADLINE_S
from fault import Fault, why_no_namespace
from swarm import Process, join, wait_until
from world import LEASED, READY, RUN_S, SUBMITTED, UPLOADING, World, set_shift

SHIFTED_CLOCK = Path(__file__).parents[2] / "node" / "join" / "shifted_clock.c"
_DISK_BYTES = 256 * 2**20
"""A node leaves 64 MiB of a disk free."""


class HubAnswers(Fault):
    """The volunteer's next requests to the Hub meet something else."""

    last = UPLOADING - 1

    def __init__(self, name: str, mode: str, does: str) -> None:
        self.name, self._mode, self.does = name, mode, does
        self._asked = 0

    def inject(self, world: World) -> str:
        """From now on."""
        if world.reached() >= SUBMITTED:
            return ""
        self._asked = world.random.randint(1, 4)
        world.front.answer_next(self._mode, self._asked)
        return f"{self._asked} requests"

    def heal(self, world: World) -> None:
        """When it was met, or the work is submitted."""
        wait_until(lambda: not world.front.left or world.reached() >= SUBMITTED, DEADLINE_S, "requests meet the fault")
        world.front.answer_next("", 0)


class ClockJumps(Fault):
    """The wall clock of one side jumps, and is set right after seconds."""

    def __init__(self, name: str, role: str) -> None:
        self.name, self._role = name, role
        self._file = Path()
        self.does = f"the {role}'s clock is up to an hour off for 1 to 6 s"

    def why_not(self) -> str | None:
        """Without a compiler."""
        if sys.platform != "linux" or shutil.which("cc") is None:
            return "a shifted clock takes LD_PRELOAD and a C compiler"
        return None

    def prepare(self, world: World) -> None:
        """The program reads a clock that a file shifts."""
        library, self._file = world.folder / "shifted_clock.so", world.folder / f"shift-{self._role}"
        if not library.exists():
            compiled = ["cc", "-shared", "-fPIC", "-o", str(library), str(SHIFTED_CLOCK), "-ldl"]
            subprocess.run(compiled, check=True, timeout=DEADLINE_S)
        set_shift(self._file, 0)
        world.environment[self._role] |= {"LD_PRELOAD": str(library), "CLOCK_SHIFT_FILE": str(self._file)}

    def inject(self, world: World) -> str:
        """Jump, and last."""
        seconds = world.random.choice((-1, 1)) * world.random.randint(5, 3600)
        set_shift(self._file, seconds)
        return f"{seconds} s for {world.last(1, 6):.1f} s"

    def heal(self, world: World) -> None:
        """Set it right."""
        set_shift(self._file, 0)


class Network(Fault):
    """A packet filter on the loopback of this world's own network namespace."""

    def __init__(self, name: str, rule: str, does: str) -> None:
        self.name, self._rule, self.does = name, rule, does

    def why_not(self) -> str | None:
        """Without root, or nft."""
        return why_no_namespace() or (None if shutil.which("nft") else "nft is not installed")

    def inject(self, world: World) -> str:
        """For seconds."""
        rules = f"table inet fault {{\n chain in {{\n type filter hook input priority 0\n {self._rule}\n }}\n}}\n"
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True, timeout=DEADLINE_S)
        return f"{world.last(1, 8):.1f} s"

    def heal(self, world: World) -> None:
        """Let everything through."""
        subprocess.run(["nft", "delete", "table", "inet", "fault"], check=True, timeout=DEADLINE_S)


class DiskFull(Fault):
    """The volunteer's home is on a disk of its own, which is full for a while."""

    first, last = READY, UPLOADING

    def __init__(self, name: str) -> None:
        self.name = name
        self.does = "the volunteer's disk has no byte left for 1 to 8 s"

    def why_not(self) -> str | None:
        """Without root."""
        return why_no_namespace()

    def prepare(self, world: World) -> None:
        """Mount it, in this world's own mount namespace."""
        world.home.mkdir()
        disk = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES}", "none", str(world.home)]
        subprocess.run(disk, check=True, timeout=DEADLINE_S)

    def inject(self, world: World) -> str:
        """Fill it."""
        filler = world.home / "filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)):
                    pass
            except OSError:
                pass
        return f"{world.last(1, 8):.1f} s"

    def heal(self, world: World) -> None:
        """Make room; a node that gave up is started again."""
        (world.home / "filler").unlink()
        if world.of("node").popen.poll():
            world.start_again("node")


class Damaged(Fault):
    """A bit of a file in the volunteer's home flips while the node is down."""

    first, last = READY, UPLOADING - 1

    def __init__(self, name: str, pattern: str, may_lose: int) -> None:
        self.name, self._pattern, self.may_lose = name, pattern, may_lose
        self.does = f"kill -9 of the node; a bit flips in the newest `{pattern}` of its home"

    def inject(self, world: World) -> str:
        """Kill, and damage."""
        world.remember()
        world.of("node").kill()
        files = [path for path in world.home.glob(self._pattern) if path.is_file() and path.stat().st_size]
        if not files:
            return ""
        newest = max(files, key=lambda path: path.stat().st_mtime_ns)
        content = bytearray(newest.read_bytes())
        place = world.random.randrange(len(content))
        content[place] ^= 1 << world.random.randrange(8)
        newest.write_bytes(content)
        return f"byte {place} of {newest.relative_to(world.home)}"

    def heal(self, world: World) -> None:
        """Start it again."""
        world.start_again("node")


class SecondNode(Fault):
    """A copy of the home runs beside the first, for seconds."""

    first, last = LEASED, UPLOADING - 1

    def __init__(self, name: str) -> None:
        self.name = name
        self._second: Process | None = None
        self.does = "a copy of the node's home joins too, until it has begun; then it is stopped"

    def inject(self, world: World) -> str:
        """Join with the copy."""
        if world.reached() >= SUBMITTED:
            return ""
        shutil.copytree(world.home, world.folder / "copy", ignore=shutil.ignore_patterns("lock", "*.sock"))
        self._second = second = join(world.run, lambda name, *words: Process(world.folder, name, *words), "copy")
        told = ("trainer-ready", "error", "waiting", "retrying", "submitted")
        wait_until(lambda: second.popen.poll() is not None or any(map(second.event, told)), RUN_S, "the copy has begun")
        world.seen.update(second.tree())
        return f"it said {second.events[-1]['event'] if second.events else 'nothing'}"

    def heal(self, world: World) -> None:
        """Stop it."""
        if self._second is not None:
            self._second.stop()


MACHINE_FAULTS = {
    "Hub says 429": lambda name: HubAnswers(name, "429", "429 with Retry-After for the next 1 to 4 requests"),
    "Hub says 5xx": lambda name: HubAnswers(name, "5xx", "500, 502, 503 or 504 for the next 1 to 4 requests"),
    "Hub says HTML": lambda name: HubAnswers(name, "HTML", "a login page with status 200 for 1 to 4 requests"),
    "Hub is late": lambda name: HubAnswers(name, "late", "the next 1 to 4 answers come 0.5 to 3 s later"),
    "Hub hangs up": lambda name: HubAnswers(name, "cut", "the next 1 to 4 connections end without an answer"),
    "network cut": lambda name: Network(name, "drop", "no packet arrives anywhere for 1 to 8 s"),
    "network lossy": lambda name: Network(name, "numgen random mod 100 < 20 drop", "one packet of five is lost"),
    "node's clock jumps": lambda name: ClockJumps(name, "node"),
    "coordinator's clock jumps": lambda name: ClockJumps(name, "coordinator"),
    "disk full": DiskFull,
    "snapshot damaged": lambda name: Damaged(name, "runs/*/*/**/*.safetensors", 2),
    "shard damaged": lambda name: Damaged(name, "cache/*", 1),
    "two of one identity": SecondNode,
}
