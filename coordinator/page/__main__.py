"""`python -m paris.coordinator.page --run RUN --run-id ID`: the page in front of the embedded Hub, or alone.

With --listen it serves alone. Otherwise all other options are those of `python -m paris.coordinator.hub`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from paris.coordinator.hub.__main__ import main as serve_hub
from paris.coordinator.page.front import Front
from paris.coordinator.page.server import page_of, serve_alone
from paris.protocol.errors import ParisError, heading
from paris.protocol.lifeline import exit_with_parent
from paris.protocol.logs import start_logging
from paris.protocol.streams import protect_streams


def main() -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m paris.coordinator.page", allow_abbrev=False)
    parser.add_argument("--run", type=Path, required=True, help="the run directory, which is only read")
    parser.add_argument("--run-id", required=True, help="the run's id")
    parser.add_argument("--listen", metavar="HOST:PORT", help="serve the page alone at this address")
    options, of_hub = parser.parse_known_args()
    if options.listen is None:
        return serve_hub(of_hub, lambda hub: Front(lambda: page_of(options.run, options.run_id, hub), hub))
    if of_hub:
        parser.error(f"unknown arguments: {' '.join(of_hub)}")
    protect_streams()
    exit_with_parent()
    start_logging(verbosity=1)
    try:
        serve_alone(options.listen, options.run, options.run_id)
    except ParisError as error:
        print(f"{heading(error.error_code)} {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
