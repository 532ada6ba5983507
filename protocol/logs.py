"""Logging of both programs: to the terminal, and with tracebacks to a size-limited file; secrets are replaced.

Every module logs to `logging.getLogger(__name__)`, below the logger `paris`. `-v` sets the level of the terminal; the
file contains everything. An unwritable log never stops the program.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Literal

from paris.protocol.printable import printable
from paris.protocol.secrets import redact

LogFormat = Literal["text", "json"]
PRINTED = {"is_printed": True}
"""`extra` of a record whose text the program prints on the terminal itself: it goes to the file only."""
_ROOT = logging.getLogger("paris")
_ROOT.addHandler(logging.NullHandler())  # before `start_logging` nothing is written, not even warnings
_FILE_BYTES = 4 << 20
_NUM_OLD_FILES = 3
_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_TERMINAL_TEXT = "%(asctime)s %(levelname)-10s %(message)s"


class JsonFormatter(logging.Formatter):
    """One JSON object per line: at, level, logger, message, and traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line."""
        fields = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return redact(json.dumps(fields))


class TextFormatter(logging.Formatter):
    """One line and the traceback, without secrets and control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return redact(printable(super().format(record)))


class _TerminalFormatter(TextFormatter):
    """Time of day, level and message; tracebacks are in the file alone."""

    def __init__(self) -> None:
        super().__init__(_TERMINAL_TEXT, datefmt="%H:%M:%S")

    def formatException(self, exc_info: object) -> str:
        return ""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).rstrip("\n")


def start_logging(verbosity: int = 0, log_format: LogFormat = "text") -> None:
    """Log to stderr. Call once, before anything is logged.

    Args:
        verbosity: -1 errors only, 0 warnings, 1 information, 2 everything with tracebacks.
        log_format: Of the lines on stderr and in the file.
    """
    logging.raiseExceptions = False
    sys.excepthook = _print_traceback
    threading.excepthook = lambda end: _print_traceback(end.exc_type, end.exc_value, end.exc_traceback)
    for handler in list(_ROOT.handlers):
        _ROOT.removeHandler(handler)
        handler.close()
    level = {-1: logging.ERROR, 0: logging.WARNING, 1: logging.INFO}.get(max(-1, verbosity), logging.DEBUG)
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(level)
    terminal.addFilter(lambda record: not getattr(record, "is_printed", False))
    if log_format == "json":
        terminal.setFormatter(JsonFormatter())
    else:
        terminal.setFormatter(TextFormatter(_TEXT) if verbosity > 1 else _TerminalFormatter())
    _ROOT.addHandler(terminal)
    _ROOT.setLevel(logging.DEBUG)
    _ROOT.propagate = False


def log_to_file(path: Path, log_format: LogFormat | None = None) -> None:
    """Also log everything to a rotating file; the newest 16 MiB are kept.

    Args:
        path: The file; its folder is created. If it cannot be written, a warning names it.
        log_format: None uses the format of stderr.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_NUM_OLD_FILES, encoding="utf-8")
    except OSError as error:
        _ROOT.warning("No log file: %s.", error)
        return
    is_json = log_format == "json" or (log_format is None and _is_json())
    handler.setFormatter(JsonFormatter() if is_json else TextFormatter(_TEXT))
    handler.setLevel(logging.DEBUG)
    _ROOT.addHandler(handler)


def _print_traceback(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    """As Python does at the end of a process or thread, without secrets."""
    if error is not None and kind is not SystemExit and sys.stderr is not None:
        print(redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _is_json() -> bool:
    return any(isinstance(handler.formatter, JsonFormatter) for handler in _ROOT.handlers)
