"""The HTTP client that huggingface_hub uses in our programs: time limits, proxies, and only the Hub's own answers.

huggingface_hub sends all requests through one client, which has no time limits and takes any answer. This module does
not import it: callers pass it to `install`.
"""

from __future__ import annotations

import threading
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from paris.protocol.errors import ProxySettingError
from paris.protocol.hub_answers import Answer, plain_url, why_foreign
from paris.protocol.hub_redirects import addresses_of, why_inward
from paris.protocol.printable import on_one_line

_CONNECT_TIMEOUT_S = 20.0
_SILENCE_TIMEOUT_S = 60.0
"""Longest time without a byte, in either direction."""
_HUB_HEADERS = ("x-error-code", "x-error-message", "x-request-id", "x-repo-commit")
_INSTALLED: set[int] = set()
_LOCK = threading.Lock()


class ForeignAnswerError(httpx2.TransportError):
    """A login page or proxy answered instead of the Hub, or a redirect leads inward; the request may work later."""


class HubClient(httpx2.Client):
    """Raises ForeignAnswerError for an answer that is not the Hub's, and names address and proxy in errors."""

    def send(self, request: httpx2.Request, *, stream: bool = False, **options: Any) -> httpx2.Response:
        """Send a request.

        Raises:
            ForeignAnswerError: The answer is not the Hub's.
            httpx2.TransportError: As httpx2 does, with the address and the proxy in the message.
        """
        try:
            response = super().send(request, stream=stream, **options)
        except RuntimeError as error:  # what httpx2 says of a client that is closed
            if not self.is_closed:
                raise
            raise httpx2.ReadError("the client was closed by another thread", request=request) from error
        except httpx2.TransportError as error:
            raise type(error)(_explain(error, str(request.url)), request=request) from error
        if reason := _why_foreign(request, response, is_read=not stream):
            response.close()
            raise ForeignAnswerError(reason, request=request)
        return response


def install(hub: ModuleType) -> None:
    """Make huggingface_hub use `HubClient`. Repeated calls do nothing.

    Args:
        hub: The module `huggingface_hub`.

    Raises:
        ProxySettingError: A proxy variable of the environment has an unusable address.
    """
    with _LOCK:
        if id(hub) in _INSTALLED:
            return
        # In case it was imported before the variables were set. Its submodules are loaded on demand.
        constants: Any = import_module(f"{hub.__name__}.constants")
        constants.HF_HUB_DISABLE_TELEMETRY = True
        http: Any = import_module(f"{hub.__name__}.utils._http")
        hook = http.hf_request_event_hook
        _make_client(hook).close()
        hub.set_client_factory(lambda: _make_client(hook))
        # After a connection error in one thread it would close the client of all: their requests end, and one that
        # asks for the client at that moment gets None. A connection that failed leaves the client's pool by itself.
        http.close_session = lambda: None
        _INSTALLED.add(id(hub))


def is_raised_inside(error: BaseException, package: str) -> bool:
    """Whether a package was running when an error was raised."""
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__", "")).split(".")[0] == package:
            return True
        trace = trace.tb_next
    return False


def proxy_address(url: str) -> str:
    """A proxy's address without user and password: those may hold any character, so the last @ ends them."""
    scheme, mark, rest = url.partition("://")
    return on_one_line(scheme + mark + rest.rpartition("@")[2] if mark else url.rpartition("@")[2])


def _make_client(hook: Any) -> HubClient:
    timeout = httpx2.Timeout(_SILENCE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    hooks: dict[str, list[Any]] = {"request": [hook], "response": [_refuse_inward]}
    try:
        return HubClient(event_hooks=hooks, follow_redirects=True, timeout=timeout)
    except (ValueError, ImportError, httpx2.InvalidURL) as error:
        proxies = ", ".join(f"{scheme} {proxy_address(url)}" for scheme, url in sorted(getproxies().items()))
        raise ProxySettingError(
            f"The proxy of the environment cannot be used ({proxies}): {type(error).__name__}.",
            "Set HTTP_PROXY, HTTPS_PROXY and ALL_PROXY to addresses as http://host:3128 or socks5://host:1080.",
        ) from error


def _refuse_inward(response: httpx2.Response) -> None:
    """Called with each response, redirects included, before the next request."""
    if not response.has_redirect_location:
        return
    url = response.request.url
    # Through a proxy, names may mean something else, or nothing, here.
    resolve = (lambda host: []) if _proxy_of(url.scheme, url.host) else addresses_of
    if reason := why_inward(str(url), response.headers["location"], resolve):
        raise ForeignAnswerError(f"{url.scheme}://{url.host}: {reason}", request=response.request)


def _why_foreign(request: httpx2.Request, response: httpx2.Response, *, is_read: bool) -> str | None:
    answer = Answer(
        method=request.method,
        asked=str(request.url),
        answered=str(response.url),
        status=response.status_code,
        content_type=response.headers.get("content-type", ""),
        has_hub_headers=any(name in response.headers for name in _HUB_HEADERS),
        body=response.content if is_read else None,
    )
    return why_foreign(answer)


def _explain(error: httpx2.TransportError, url: str) -> str:
    """The error with address and proxy; httpx2's own text is often empty, or an errno alone."""
    parts = urlsplit(url)
    proxy = _proxy_of(parts.scheme, parts.hostname or "")
    through = f" through the proxy {proxy}" if proxy else ""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx2.TimeoutException):
        reason = f"no answer in time ({reason})"
    elif "CERTIFICATE_VERIFY_FAILED" in reason:
        reason += "; a login page or proxy may have intercepted the connection"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{through}: {reason}"


def _proxy_of(scheme: str, host: str) -> str | None:
    proxies = getproxies()
    url = proxies.get(scheme) or proxies.get("all")
    return plain_url(url) if url and not proxy_bypass(host) else None
