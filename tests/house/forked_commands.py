"""python forked_commands.py MODULE < lines of JSON, each the arguments of a command

Imports the program once and runs each command in a fork, as a new process would run it. Prints a line of JSON for each:
its exit code, and all that it wrote.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import traceback

_SHARED = ("pydantic", "rich.console", "rich.progress", "typer.rich_utils")
"""Of the plain package, and used by most commands: imported once for all."""


def run(program: object, arguments: list[str]) -> int:
    """The command in this process; returns its exit code."""
    sys.argv = ["program", *arguments]
    try:
        program.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    program = importlib.import_module(sys.argv[1])
    for name in _SHARED:
        importlib.import_module(name)
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out:
            pid = os.fork()
            if pid == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(out.fileno(), 2)
                code = run(program, json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            status = os.waitpid(pid, 0)[1]
            out.seek(0)
            print(json.dumps([os.waitstatus_to_exitcode(status), out.read()]), flush=True)


if __name__ == "__main__":
    main()
