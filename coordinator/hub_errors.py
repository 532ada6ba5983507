"""What the Hub client raises, as one typed error that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from pathlib import Path

from paris.coordinator.errors import HubError
from paris.experts.files import disk_full_while_writing

_LATER = "It will work again when the Hub does; nothing is lost."
_NOT_YOURS = "Check the token in PARIS_HUB_TOKEN: it must have write access to the run's repos."
_ADVICE = {
    401: _NOT_YOURS,
    403: _NOT_YOURS,
    404: "Check model_repo and data_repo in [hub] of run.toml, and that the token may see them.",
    412: "Somebody else wrote to main in this moment: do it again.",
    413: "This Hub takes nothing so large.",
    507: "Make room on the Hub.",
}


@contextmanager
def hub_errors(endpoint: str) -> Iterator[None]:
    """Turn what the client raises into one typed error that says what to do.

    Args:
        endpoint: The Hub that is spoken to, for the message.

    Raises:
        HubError: The Hub refused, did not answer, or what answers is no Hub.
        DiskFullError: No space here for what came from it.
        OSError: Any other trouble with local files, as it came.
    """
    import httpx2
    from huggingface_hub.errors import FileMetadataError, HfHubHTTPError, LocalEntryNotFoundError

    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        said = (error.server_message or str(error)).strip().rstrip(".")
        raise HubError(f"The Hub at {endpoint} answered {status}: {said}.", _ADVICE.get(status, _LATER)) from error
    except (FileMetadataError, JSONDecodeError) as error:
        raise HubError(f"What answers at {endpoint} is no Hub.", "Mend [hub] endpoint in run.toml.") from error
    except (httpx2.HTTPError, ConnectionError, TimeoutError, LocalEntryNotFoundError) as error:
        # A download that gets no answer says that the file is not in the local cache; the cause is below it.
        reason = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
        raise HubError(
            f"The Hub at {endpoint} does not answer: {reason}.", "Check that it runs and the address is right."
        ) from error
    except OSError as error:
        with disk_full_while_writing(Path(error.filename or "what the Hub sent")):
            raise
