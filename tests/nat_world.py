"""Network namespaces: a public segment, and private networks behind routers that translate addresses.

    public  11.22.33.1 and up        router N  11.22.33.1N | 10.0.N.1        private N  10.0.N.2

No namespace has a way out: every packet stays inside. The public addresses are of a block that libp2p counts as public.
A router lets in only answers, as a home's router does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from deadlines import DEADLINE_S

NUM_PRIVATE = 2
HOST = "11.22.33.1"
IMPORTED = [Path(__file__).parent / folder for folder in (".", "protocol", "node")]
"""Where processes in the namespaces find the helpers of tests."""
_RULES = """
table ip router {
 chain translate {
  type nat hook postrouting priority 100; policy accept;
  oifname "wan" masquerade %s
 }
 chain incoming {
  type filter hook input priority 0; policy accept;
  iifname "wan" ct state established,related accept
  iifname "wan" drop
 }
 chain through {
  type filter hook forward priority 0; policy accept;
  iifname "wan" ct state established,related accept
  iifname "wan" drop
 }
}
"""


def why_not() -> str | None:
    """Why no such world can be made on this machine, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "network namespaces take root on Linux"
    if lacking := [tool for tool in ("ip", "nft") if shutil.which(tool) is None]:
        return f"not installed: {', '.join(lacking)}"
    name = f"paris-{os.getpid()}-try"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    tried = _ip("netns", "exec", name, "nft", "-f", "-", rules=_RULES % "", check=False)
    _ip("netns", "del", name)
    return None if tried.returncode == 0 else f"nft cannot translate addresses: {tried.stderr.strip()[:200]}"


class NatWorld:
    """The namespaces, from `__enter__` to `__exit__`.

    Args:
        ports: How routers choose the outer port: "" keeps it where that is free; "random" takes another one for each
            connection, as routers do through which no hole can be punched.
    """

    def __init__(self, ports: str = "") -> None:
        self._ports = ports
        self._prefix = f"paris-{os.getpid()}-"
        self._names: list[str] = []

    def name(self, place: str) -> str:
        """Of a namespace: "public", "router1", "private1" and so on."""
        return self._prefix + place

    def command(self, place: str, *arguments: str) -> list[str]:
        """A command line that runs there."""
        return ["ip", "netns", "exec", self.name(place), *arguments]

    def __enter__(self) -> NatWorld:
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the namespaces, and with them their links."""
        for name in self._names:
            _ip("netns", "del", name, check=False)
        self._names = []

    def _make(self) -> None:
        public = self._namespace("public")
        _ip("-n", public, "link", "add", "bridge", "type", "bridge")
        for last in range(1, 6):
            _ip("-n", public, "address", "add", f"11.22.33.{last}/24", "dev", "bridge")
        _ip("-n", public, "link", "set", "bridge", "up")
        for number in range(1, NUM_PRIVATE + 1):
            router, private = self._namespace(f"router{number}"), self._namespace(f"private{number}")
            _link((public, f"wan{number}"), (router, "wan"))
            _ip("-n", public, "link", "set", f"wan{number}", "master", "bridge")
            _link((router, "lan"), (private, "lan"))
            _ip("-n", router, "address", "add", f"11.22.33.1{number}/24", "dev", "wan")
            _ip("-n", router, "address", "add", f"10.0.{number}.1/24", "dev", "lan")
            _ip("-n", private, "address", "add", f"10.0.{number}.2/24", "dev", "lan")
            _ip("-n", private, "route", "add", "default", "via", f"10.0.{number}.1")
            _ip("netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
            _ip("netns", "exec", router, "nft", "-f", "-", rules=_RULES % self._ports)

    def _namespace(self, place: str) -> str:
        name = self.name(place)
        _ip("netns", "add", name)
        self._names.append(name)
        _ip("-n", name, "link", "set", "lo", "up")
        return name


class PeerThere:
    """A peer in a namespace, as a child process; `ask` is one line of Python that it evaluates with `peer`.

    Args:
        world: The namespaces.
        place: Where.
        before: Python that makes `peer`.
    """

    def __init__(self, world: NatWorld, place: str, before: str) -> None:
        answers = "for line in sys.stdin: print(json.dumps(eval(line)), flush=True)"
        code = f"{before}\nimport json, sys\n{answers}\npeer.stop()\n"
        self.process = subprocess.Popen(
            world.command(place, sys.executable, "-c", code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, IMPORTED))},
        )

    def ask(self, expression: str) -> object:
        """What it answers; an error ends it, and is an AssertionError here."""
        self.process.stdin.write(f"{expression}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the peer ended at {expression}"
        return json.loads(line)

    def close(self) -> None:
        """End it."""
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def _link(one: tuple[str, str], other: tuple[str, str]) -> None:
    """A cable between two namespaces, each with the name of its end."""
    _ip("-n", one[0], "link", "add", one[1], "type", "veth", "peer", "name", other[1], "netns", other[0])
    for namespace, name in (one, other):
        _ip("-n", namespace, "link", "set", name, "up")


def _ip(*arguments: str, rules: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["ip", *arguments], input=rules, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0 or not check, f"ip {' '.join(arguments)}: {done.stderr}"
    return done
