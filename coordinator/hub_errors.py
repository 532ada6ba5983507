"""Errors of the Hub client as one typed error with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from paris.coordinator.errors import HubError, NotOnHubError
from paris.experts.files import disk_full_while_writing
from paris.protocol.errors import reason_of
from paris.protocol.hub_answers import FOREIGN

_LATER = "It will work again when the Hub does; nothing is lost."
_NOT_YOURS = "Check the token in PARIS_HUB_TOKEN: it must have write access to the run's repos."
_UNEXPECTED = (JSONDecodeError, LookupError, TypeError, AttributeError)
"""What huggingface_hub raises for JSON of another form than the Hub's."""
_ADVICE = {
    401: _NOT_YOURS,
    403: _NOT_YOURS,
    404: "Check model_repo and data_repo in [hub] of run.toml, and that the token may see them.",
    412: "Another client wrote to main at the same time: try again.",
    413: "That is a limit of this Hub: keep below it, or have the limit raised where the Hub runs.",
    507: "Free some space on the Hub.",
}


def use_hub_client() -> None:
    """Let huggingface_hub use the client that knows time limits, proxies and the Hub's own answers.

    Raises:
        ProxySettingError: A proxy variable of the environment has an unusable address.
    """
    import huggingface_hub

    from paris.protocol.hub_session import install

    install(huggingface_hub)


@contextmanager
def _uploads_unwrapped() -> Iterator[None]:
    """Raise the HTTP error of an LFS upload, which the stock client wraps in a bare RuntimeError."""
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except RuntimeError as error:
        if type(error) is RuntimeError and isinstance(error.__cause__, HTTPError):
            raise error.__cause__ from error
        raise


@contextmanager
def hub_errors(endpoint: str) -> Iterator[None]:
    """Turn exceptions of the Hub client into one typed error.

    Args:
        endpoint: The Hub's URL, for the message.

    Raises:
        NotOnHubError: The Hub does not have the file or commit.
        HubError: The Hub refused or did not answer, or something else answered in its place.
        DiskFullError: No space on this machine for a download.
        OSError: Another error of a local file, unchanged.
    """
    import httpx2
    from huggingface_hub.errors import (
        EntryNotFoundError,
        FileMetadataError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RevisionNotFoundError,
    )

    from paris.protocol.hub_session import ForeignAnswerError, is_raised_inside

    try:
        with _uploads_unwrapped():
            yield
    except ForeignAnswerError as error:
        raise HubError(
            str(error), f"Log in to the network, or check the proxy, and [hub] endpoint in run.toml. {_LATER}"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        reason = (error.server_message or str(error)).strip().rstrip(".")
        kind = NotOnHubError if isinstance(error, EntryNotFoundError | RevisionNotFoundError) else HubError
        raise kind(f"The Hub at {endpoint} answered {status}: {reason}.", _ADVICE.get(status, _LATER)) from error
    except (FileMetadataError, *_UNEXPECTED) as error:
        if hasattr(error, "exit_code") or not is_raised_inside(error, "huggingface_hub"):
            raise  # ours
        raise HubError(
            f"{FOREIGN} at {endpoint} ({type(error).__name__}).", f"Check [hub] endpoint in run.toml. {_LATER}"
        ) from error
    except (httpx2.HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError) as error:
        # A download without an answer raises that the file is not in the local cache; the cause has the reason.
        cause = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        raise HubError(
            f"The Hub at {endpoint} does not answer: {reason_of(cause)}.",
            "Check that it runs and the address is right.",
        ) from error
    except OSError as error:
        with disk_full_while_writing(Path(error.filename or "what the Hub sent")):
            raise
