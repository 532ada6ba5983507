"""Keeps card and tags of the model repo as the state says. Nothing is committed that is on the Hub already."""

from __future__ import annotations

import hashlib
import logging
import threading
from contextlib import nullcontext

from paris.coordinator.model_repo.card import progress_card
from paris.coordinator.model_repo.released import read_released
from paris.coordinator.model_repo.sections import verified_share
from paris.coordinator.model_repo.tags import is_of_expert, tags_of
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run_hub.client import RunHub
from paris.coordinator.state.model import State
from paris.protocol.counted import counted

logger = logging.getLogger(__name__)
CARD_FILE = "README.md"
_PARTS = 10
"""Of the run's steps: each that is verified makes a new card, as does each expert. A run of legs has thousands."""


class ModelRepo:
    """The card on main, and the experts' tags.

    Args:
        run: The run directory.
        hub: Its repos, which exist.
    """

    def __init__(self, run: RunDir, hub: RunHub) -> None:
        self._run, self._hub = run, hub
        self._card_shows = ""

    def shows(self, state: State) -> str:
        """A digest of what the repo shows: `update` is due when it changes. Reads no file, and fails never."""
        return _digest(self._card_of(state), sorted(tags_of(state).items()))

    def update(self, state: State, committing: threading.Lock | None = None) -> None:
        """Bring card and tags up to a state.

        The card of a release is left as `paris-coord release` made it while the same experts are registered. While a
        release is uploaded, which brings its card, and after one that was killed at it, the card on main stays.

        Args:
            state: The run's.
            committing: Held while the card is committed.

        Raises:
            HubError: The Hub refused, or did not answer; to be called again.
            RunDirError: A file of the run directory is damaged.
        """
        card = self._card_of(state)
        if card != self._card_shows:
            data = self._card(state)
            if data is not None:
                with committing or nullcontext():
                    self._hub.upload_file(
                        CARD_FILE, data, f"Card: {counted(state.num_registered, 'expert')} registered"
                    )
            self._card_shows = card
        self._set_tags(tags_of(state))

    def _card(self, state: State) -> bytes | None:
        """None: that of a release whose tag the Hub does not have yet."""
        released = read_released(self._run)
        if released is None:
            return progress_card(self._run, state, None).encode()
        made, is_on_hub = self._run.release / CARD_FILE, released.tag in self._hub.tags()
        if released.is_of(state):
            if not is_on_hub:
                return None
            if made.is_file():
                return made.read_bytes()
        return progress_card(self._run, state, released if is_on_hub else None).encode()

    def _card_of(self, state: State) -> str:
        """A digest of what the card says."""
        registered = [(task_id, task.registration) for task_id, task in sorted(state.experts.items())]
        parts = int(verified_share(state) * _PARTS)
        try:
            released_at = self._run.released.stat().st_mtime_ns
        except OSError:
            released_at = 0
        files = [(task_id, done.sha256, done.commit) for task_id, done in registered if done is not None]
        return _digest(len(registered), files, parts, state.router.phase == "done", released_at)

    def _set_tags(self, wanted: dict[str, str]) -> None:
        """A tag keeps its commit's files: those of states that are no longer kept are deleted."""
        present = {tag: commit for tag, commit in self._hub.tags().items() if is_of_expert(tag)}
        for tag in present.keys() - wanted.keys():
            self._hub.delete_tag(tag)
        for tag, commit in wanted.items():
            if present.get(tag) != commit:
                self._hub.set_tag(tag, commit, replaces=tag in present)
                logger.info("Tagged %s as %s.", commit[:12], tag)


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
