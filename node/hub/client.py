"""The node's Hub client: stock huggingface_hub with an endpoint; its errors as transient or permanent ones.

huggingface_hub is imported when the first client is made: importing this file stays cheap.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from paris.node.errors import HubRefusedError, TransientHubError
from paris.node.hub.additions import Passed
from paris.protocol.addresses import require_url
from paris.protocol.errors import ParisError
from paris.protocol.hub_answers import FOREIGN, looks_like_page, may_be_page, plain_url
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.secrets import keep_secret

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524)
_UNEXPECTED = (ValueError, LookupError, TypeError, AttributeError)
"""What huggingface_hub raises for JSON of another form than the Hub's."""
_PAGE_START_BYTES = 256
_COMPRESSED = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")


class Hub:
    """One Hub endpoint with one token.

    Args:
        endpoint: http(s) address without a trailing slash, as in the RunSpec.
        token: Sent to this endpoint only; None for none.
    """

    def __init__(self, endpoint: str, token: str | None) -> None:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars

        from paris.protocol.hub_session import install

        self.endpoint = require_url(endpoint.rstrip("/") or PUBLIC_ENDPOINT)
        keep_secret(token)
        self.token = token
        self.passed: Passed | None = None
        """Limits the speed of uploads; None: no limit."""
        self.has_xet = self.endpoint == PUBLIC_ENDPOINT
        """Whether uploads without a limit are left to Xet, which does not say how far it is."""
        self._user_name: str | None = None
        if not self.has_xet:
            # Read at call time by huggingface_hub; hubs without Xet have no other way to make it use LFS.
            huggingface_hub.constants.HF_HUB_DISABLE_XET = True
        install(huggingface_hub)
        disable_progress_bars()
        self.api: HfApi = huggingface_hub.HfApi(endpoint=self.endpoint, token=token or False, library_name="paris-node")

    def user_name(self) -> str:
        """The token's user; asked once. Raises as `whoami`."""
        if self._user_name is None:
            self._user_name = str(self.whoami()["name"])
        return self._user_name

    def whoami(self) -> dict[str, Any]:
        """What the Hub says of the token: `name`, and `auth` at the public Hub.

        Raises:
            TransientHubError: A later try may work.
            HubRefusedError: The token is invalid.
        """
        with translated("checking the token"):
            found: Any = self.api.whoami()
        if not isinstance(found, dict) or not isinstance(found.get("name"), str):
            raise TransientHubError(f"{FOREIGN}: checking the token gave something else.")
        return found

    def url(self, repo: str, path: str, *, repo_type: str, revision: str) -> str:
        """Address of one file at one revision."""
        from huggingface_hub import hf_hub_url

        return hf_hub_url(repo, path, repo_type=repo_type, revision=revision, endpoint=self.endpoint)

    @contextmanager
    def stream(self, url: str, offset: int) -> Iterator[Any]:
        """Open a GET from a byte offset; the caller reads the body by `iter_raw`.

        Args:
            url: From `url`.
            offset: First byte to read.

        Raises:
            TransientHubError: A later try may work.
            HubRefusedError: The Hub rejected the request permanently.
        """
        from huggingface_hub.utils import build_hf_headers, get_session

        headers = build_hf_headers(token=self.token or False, library_name="paris-node")
        headers["Accept-Encoding"] = "identity"  # ranges of compressed bytes cannot be joined
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with translated(f"GET {url}"), get_session().stream("GET", url, headers=headers) as response:
            if response.status_code >= 400 and response.status_code != 416:
                response.read()
                raise status_error(f"GET {url}", response)
            encoding = response.headers.get("Content-Encoding", "")
            if response.status_code not in (200, 206, 416) or encoding in _COMPRESSED:
                got = f"{response.status_code}{f', {encoding}' if encoding else ''}"
                raise TransientHubError(f"{FOREIGN}: GET {plain_url(url)} was answered with something else ({got}).")
            yield response

    def read_small(self, url: str, max_bytes: int) -> bytes:
        """A whole small file.

        Raises:
            TransientHubError: A later try may work.
            HubRefusedError: The Hub rejected the request permanently, or the file is larger than `max_bytes`.
        """
        data = bytearray()
        with self.stream(url, 0) as response:
            if response.status_code != 200:
                raise TransientHubError(
                    f"{FOREIGN}: GET {plain_url(url)} was answered with a part of a file ({response.status_code})."
                )
            for piece in response.iter_raw():
                data += piece
                refuse_page(url, bytes(data[:_PAGE_START_BYTES]))
                if len(data) > max_bytes:
                    raise HubRefusedError(
                        f"{url} has more than {max_bytes} bytes.", "This is not the file it should be."
                    )
        return bytes(data)


def refuse_page(url: str, start: bytes) -> None:
    """Check that a file does not start as a web page, which a proxy may send without its content type.

    Args:
        url: Of the file.
        start: Its first bytes.

    Raises:
        TransientHubError: It does.
    """
    if looks_like_page(start) and not may_be_page(url):
        raise TransientHubError(f"{FOREIGN}: GET {plain_url(url)} was answered with a web page.")


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn huggingface_hub's and its HTTP library's errors into transient and permanent ones.

    Raises:
        TransientHubError: No answer, a cut connection, an answer that is not the Hub's, 408, 429, 5xx.
        HubRefusedError: Any other status.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    from paris.protocol.hub_session import ForeignAnswerError, is_raised_inside

    try:
        yield
    except (HTTPError, ConnectionError, TimeoutError, RuntimeError) as error:
        # The stock client wraps errors of an LFS upload in a bare RuntimeError.
        cause = error.__cause__ if type(error) is RuntimeError else error
        if isinstance(cause, ParisError):  # the volunteer stopped an upload that was waiting for its limit
            raise cause from None
        if isinstance(cause, HfHubHTTPError):
            raise status_error(doing, cause.response) from error
        if isinstance(cause, ForeignAnswerError):
            raise TransientHubError(str(cause)) from error
        if not isinstance(cause, HTTPError | ConnectionError | TimeoutError):
            raise
        reason = str(cause) or type(cause).__name__
        raise TransientHubError(f"{doing}: no answer ({reason}).") from error
    except _UNEXPECTED as error:
        if isinstance(error, HFValidationError | ParisError) or not is_raised_inside(error, "huggingface_hub"):
            raise
        raise TransientHubError(f"{FOREIGN}: {doing} gave something else ({type(error).__name__}).") from error


def status_error(doing: str, response: Any) -> ParisError:
    """The typed error for an HTTP status of 400 or more.

    Args:
        doing: The request in words.
        response: huggingface_hub's response object.
    """
    status = response.status_code
    message = response.headers.get("X-Error-Message") or ""
    what = f"{doing}: the Hub answered {status}{f' ({message})' if message else ''}."
    if status in _TRANSIENT:
        return TransientHubError(what, retry_after_s(response.headers.get("Retry-After"), time.time()))
    next_steps = {
        401: "Give a valid token: PARIS_HUB_TOKEN=... or the file hub_token in the node's home; "
        "for a Hub other than the public one also hub_token_endpoint.",
        403: "The token may not do this; ask the organiser, or make a token that may write pull requests.",
        404: "Check the run's repos, and whether the token may see them.",
        413: "The file exceeds this Hub's size limit; tell the organiser.",
    }
    return HubRefusedError(what, next_steps.get(status, "Tell the organiser of the run."), status)


def retry_after_s(value: str | None, now: float) -> float | None:
    """Seconds given by a Retry-After header (a number or an HTTP date); None if it is absent or malformed.

    Args:
        value: The header.
        now: UTC seconds.
    """
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
        except (ValueError, OverflowError):  # OverflowError: a year or a second of many digits
            return None
