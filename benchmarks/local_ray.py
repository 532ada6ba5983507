"""A Ray cluster on this machine: several Ray nodes with separate cores, all on the loopback address.

    with local_ray(2) as (address, environment): subprocess.run([...], env=environment)

Run as a module, it prints the address and keeps the cluster running until its standard input closes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LOOPBACK = "127.0.0.1"
_STORE_BYTES = 256 << 20


@contextmanager
def local_ray(num_nodes: int) -> Iterator[tuple[str, dict[str, str]]]:
    """Start a cluster, and stop it on exit.

    Args:
        num_nodes: Ray nodes, each with one core.

    Yields:
        The cluster's address, and the environment of its clients.
    """
    # Ray replaces loopback addresses by the machine's own, except under the setting that systems with a firewall
    # dialogue have.
    environment = {**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, "-m", "benchmarks.local_ray", str(num_nodes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield next(line.split()[1] for line in process.stdout or () if line.startswith("address ")), environment
        finally:
            process.communicate()


def main() -> int:
    """Be the cluster."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "node_ip_address": _LOOPBACK, "object_store_memory": _STORE_BYTES}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    for _ in range(int(sys.argv[1]) - 1):
        cluster.add_node(**node)
    print(f"address {cluster.address}", flush=True)
    sys.stdin.read()
    cluster.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
