"""Tags of the model repo, by which `from_pretrained(repo, revision=...)` and `hf download --revision` name a state.

expert-3/step-00000210   expert 3 as registered, or a verified state of its training that is kept
release-1f0c9b7a52d3     a release; the digits follow from its files, so that the same model has the same tag
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from paris.coordinator.run.config_tables import HubTable
from paris.coordinator.state.model import State
from paris.experts.files import file_sha256
from paris.protocol.hub_layout import step_folder

_OF_EXPERT = re.compile(r"expert-\d+/step-\d{8}")
_NOT_THE_MODEL = (".md", ".png")


def expert_tag(task_id: str, step: int) -> str:
    """The tag of an expert's state at a step."""
    return f"{task_id}/{step_folder(step)}"


def address_of(hub: HubTable, tag: str) -> str:
    """Where a browser finds the files of a tag."""
    return f"{hub.endpoint.rstrip('/')}/{hub.model_repo}/tree/{quote(tag, safe='')}"


def is_of_expert(tag: str) -> bool:
    """Whether a tag is one that `expert_tag` makes."""
    return bool(_OF_EXPERT.fullmatch(tag))


def tags_of(state: State) -> dict[str, str]:
    """The tags that a state has, and the commit of each; of an expert in lanes those of its own and the means."""
    experts = state.experts
    tags = {
        expert_tag(s.submission.task_id, s.head.step): s.head.commit
        for s in state.submissions.values()
        if s.head is not None and s.phase == "stored" and s.submission.task_id in experts
    }
    for task_id, task in experts.items():
        if (head := task.task.head) is not None:
            tags[expert_tag(task_id, head.step)] = head.commit
        if (registration := task.registration) is not None:
            tags[expert_tag(task_id, registration.steps)] = registration.commit
    return tags


def release_tag(folder: Path, known: Mapping[str, str]) -> str:
    """The tag of a release.

    Args:
        folder: The release. Card and pictures do not count.
        known: SHA-256 of files whose digests are known, by path in the folder.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in _NOT_THE_MODEL):
        name = path.relative_to(folder).as_posix()
        digest.update(f"{name} {known.get(name) or file_sha256(path)}\n".encode())
    return f"release-{digest.hexdigest()[:12]}"
