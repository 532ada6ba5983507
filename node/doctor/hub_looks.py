"""The run's Hub, the clock against the Hub's, and the token with its rights."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Iterator
from typing import Any

from paris.node.doctor.finding import Finding, fine, problem, warning
from paris.node.doctor.known import Known
from paris.node.errors import HubRefusedError, SettingsError, TransientHubError
from paris.node.hub.account import account_token
from paris.node.hub.client import Hub, translated
from paris.node.work.data import check_token
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.limits import MAX_CLOCK_SKEW_S
from paris.protocol.secrets import TokenError
from paris.protocol.signing import Identity

_DATE_STEP_S = 1.0
"""A Date header names whole seconds."""
_SET_CLOCK = "Set the clock of this machine, by NTP for good: timedatectl set-ntp true"
_WRITES = {"discussion.write", "repo.write"}
"""Permissions of a fine-grained token of the public Hub, of which a pull request takes one."""


def hub(known: Known) -> Iterator[Finding]:
    """Whether the Hub answers, and has the run's data."""
    if known.spec is None:
        return
    spec = known.spec.payload
    found = _open_hub(known, without_bad_token=True)
    with translated(f"asking {found.endpoint} for {spec.data_repo}"):
        sha = found.api.repo_info(spec.data_repo, repo_type="dataset").sha
    yield fine("hub", f"{found.endpoint} serves {spec.data_repo} at {str(sha)[:12]}")


def clock(known: Known) -> Iterator[Finding]:
    """How far this machine's clock is from the Hub's, and whether the run's peers accept it."""
    accepted = known.num_peers_that_answer > 0 and not known.clock_is_refused
    theirs = "the peers accept it" if accepted else "no peer confirms it"
    try:
        ahead_s, margin_s = _ahead_of_hub(known)
    except (TransientHubError, HubRefusedError, ValueError):
        if known.clock_is_refused:
            yield problem(
                "clock", f"Peers refuse it: it is more than {MAX_CLOCK_SKEW_S:.0f} s from theirs.", _SET_CLOCK
            )
        elif accepted:
            yield fine("clock", f"within {MAX_CLOCK_SKEW_S:.0f} s of the peers'")
        else:
            yield warning(
                "clock", "It was not compared: neither Hub nor peers tell the time.", "Look again with a network."
            )
        return
    text = f"{abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} the Hub's, {theirs}"
    is_off = abs(ahead_s) - margin_s > MAX_CLOCK_SKEW_S
    if known.clock_is_refused or (is_off and not accepted):
        yield problem(
            "clock", f"{text if is_off else 'Peers refuse it'}: peers allow {MAX_CLOCK_SKEW_S:.0f} s.", _SET_CLOCK
        )
    elif is_off:
        yield warning("clock", f"{text}: the Hub's may be wrong.", "Tell the organiser.")
    else:
        yield fine("clock", f"within {max(1.0, abs(ahead_s) + margin_s):.0f} s of the Hub's, {theirs}")


def token(known: Known) -> Iterator[Finding]:
    """Whom the token belongs to, and whether it may open pull requests on the run's model repo."""
    if known.spec is None:
        return
    found, repo = _open_hub(known, without_bad_token=False), known.spec.payload.model_repo
    check_token(found, repo)
    who = f"belongs to {found.user_name()}"
    refusal = _why_read_only(found.whoami(), repo) if found.endpoint == PUBLIC_ENDPOINT else None
    if refusal is not None:
        yield warning("token", f"{who}. {refusal}", f"Make one that may write discussions and pull requests of {repo}.")
        return
    yield fine("token", f"{who}, may see {repo}; the Hub names nothing against a pull request")


def _open_hub(known: Known, *, without_bad_token: bool) -> Hub:
    """The run's Hub with the volunteer's token.

    Raises:
        TokenError, SettingsError: The token cannot be used, and that is not to be passed over.
    """
    if known.spec is None:
        raise SettingsError("The run is not known.", "See the finding run.")
    endpoint = known.config.hub_endpoint or known.spec.payload.hub_endpoint
    try:
        identity = Identity.load_or_create(known.home.identity)
        return Hub(endpoint, account_token(known.home.path, known.config, identity, endpoint))
    except (TokenError, SettingsError):
        if not without_bad_token:
            raise
        return Hub(endpoint, None)


def _ahead_of_hub(known: Known) -> tuple[float, float]:
    """How far this machine's clock is ahead of the Hub's, and how far that may be wrong, both in seconds.

    Raises:
        TransientHubError, HubRefusedError: No answer, or not the Hub's.
        ValueError: It has no date.
    """
    from huggingface_hub.utils import get_session

    found = _open_hub(known, without_bad_token=True)
    began, began_steady = time.time(), time.monotonic()
    with translated(f"asking {found.endpoint} for the time"):
        answer = get_session().get(f"{found.endpoint}/api/datasets/{known.spec.payload.data_repo}")  # type: ignore[union-attr]
    took_s = time.monotonic() - began_steady
    theirs = email.utils.parsedate_to_datetime(answer.headers.get("date") or "").timestamp() + _DATE_STEP_S / 2
    return began + took_s / 2 - theirs, (_DATE_STEP_S + took_s) / 2


def _why_read_only(who: dict[str, Any], repo: str) -> str | None:
    """What the public Hub says against a pull request with this token; None where it says nothing.

    A fine-grained token lists its permissions, of all repos or of single owners and repos.
    """
    auth = who.get("auth")
    access = auth.get("accessToken") if isinstance(auth, dict) else None
    fine_grained = access.get("fineGrained") if isinstance(access, dict) else None
    if not isinstance(fine_grained, dict):
        return None
    scopes = [scope for scope in fine_grained.get("scoped") or [] if isinstance(scope, dict)]
    of_repo = [scope for scope in scopes if _name_of(scope) in (repo, repo.split("/")[0])]
    granted = {str(name) for name in fine_grained.get("global") or []}
    granted |= {str(name) for scope in of_repo for name in scope.get("permissions") or []}
    return None if granted & _WRITES else f"It lists no permission to write pull requests of {repo}."


def _name_of(scope: dict[str, Any]) -> str:
    entity = scope.get("entity")
    return str(entity.get("name")) if isinstance(entity, dict) else ""
