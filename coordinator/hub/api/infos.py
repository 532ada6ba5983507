"""Handlers that describe repositories: one in detail, and search by tag, owner or name."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_own_repo, find_repo
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.repositories.cards import derive_tags, parse_card, plain_json, read_card
from paris.coordinator.hub.repositories.repos import Commit, Repo, listing_at, resolve, visible_repos
from paris.coordinator.hub.storage.blobs import BlobStore
from paris.coordinator.hub.storage.trees import Listing, lfs_pointer
from paris.coordinator.hub.timestamps import timestamp

_MODEL_INDEX = ("model_index.json", "config.json")


def get_info(call: Call) -> Response:
    """GET of one repository, at its main branch or at `revision/{rev}`."""
    repo = find_repo(call)
    commit = resolve(call.reader, repo, call.params.get("rev", "main"))
    info = describe(call.reader, call.hub.blobs, repo, commit)
    listing = listing_at(call.reader, repo, commit)
    info["siblings"] = _siblings(listing, with_blobs=call.flag("blobs"))
    info["usedStorage"] = sum(entry.size for entry in listing.files.values())
    info["config"] = _config(call.hub.blobs, listing)
    return JSONResponse(_chosen(info, call.query.get("expand", []) + call.query.get("expand[]", [])))


def describe(db: sqlite3.Connection, blobs: BlobStore, repo: Repo, commit: Commit) -> dict[str, Any]:
    """The fields that search results and details share."""
    listing = listing_at(db, repo, commit)
    card, _ = read_card(blobs, listing)
    info: dict[str, Any] = {
        "_id": f"{repo.id:024x}",
        "id": repo.full_name,
        "author": repo.owner,
        "sha": commit.oid,
        "private": repo.private,
        "gated": False,
        "disabled": False,
        "createdAt": timestamp(repo.created_at),
        "lastModified": timestamp(commit.created_at),
        "downloads": 0,
        "likes": 0,
        "tags": derive_tags(card, listing),
        "cardData": card,
    }
    if repo.kind == "models":
        info["modelId"] = repo.full_name
        for field, value in (("library_name", card.get("library_name")), ("pipeline_tag", card.get("pipeline_tag"))):
            if isinstance(value, str):
                info[field] = value
        if isinstance(card.get("model-index"), list):
            info["model-index"] = card["model-index"]
    return info


def _siblings(listing: Listing, *, with_blobs: bool) -> list[dict[str, Any]]:
    siblings = []
    for path, entry in listing.files.items():
        sibling: dict[str, Any] = {"rfilename": path}
        if with_blobs:
            sibling |= {"size": entry.size, "blobId": entry.git_oid}
            if entry.is_lfs:
                pointer_bytes = len(lfs_pointer(entry.sha256, entry.size))
                sibling["lfs"] = {"sha256": entry.sha256, "size": entry.size, "pointerSize": pointer_bytes}
        siblings.append(sibling)
    return siblings


def _config(blobs: BlobStore, listing: Listing) -> dict[str, Any]:
    """The fields of config.json or model_index.json by which libraries recognise their models."""
    for path in _MODEL_INDEX:
        entry = listing.files.get(path)
        if entry is None or entry.is_lfs:
            continue
        try:
            config = plain_json(json.loads(blobs.read(entry.sha256)))
        except (ValueError, RecursionError):
            continue
        if isinstance(config, dict):
            known = {key: config[key] for key in ("architectures", "model_type", "_class_name") if key in config}
            return {"diffusers": known} if path == "model_index.json" else known
    return {}


def _chosen(info: dict[str, Any], expand: list[str]) -> dict[str, Any]:
    if not expand:
        return info
    return {key: value for key, value in info.items() if key in ("_id", "id") or key in expand}


def get_list(call: Call) -> Response:
    """GET of one page of models or datasets that match the query; all tags in `filter` are required.

    A page looks at `page_entries` repositories at most, so it may have few matches and yet a next page.
    """
    # Without likes and download counts, every other order is that of the last change.
    order = "created" if call.first("sort") == "createdAt" else "changed"
    start, size = call.window(call.hub.limits.page_entries)
    found = visible_repos(
        call.reader,
        call.user,
        kind=call.params["kind"],
        author=call.first("author"),
        search=call.first("search").lower(),
        order="-" * (call.first("direction") == "1") + order,
        offset=start,
    )
    expand = call.query.get("expand", []) + call.query.get("expand[]", [])
    with_card = bool(expand) or call.flag("full") or call.flag("cardData")
    page: list[dict[str, Any]] = []
    following = None
    for index, (repo, commit) in enumerate(found, start=start):
        if len(page) == size or index - start == call.hub.limits.page_entries:
            following = index
            break
        info = describe(call.reader, call.hub.blobs, repo, commit)
        if not _matches(call, info):
            continue
        if not with_card:
            del info["cardData"]
        page.append(_chosen(info, expand))
    return call.page(page, following)


def _matches(call: Call, info: dict[str, Any]) -> bool:
    """Whether a repository has the tags of the query."""
    wanted = {tag for text in call.query.get("filter", []) for tag in text.split(",")}
    pipeline_tag = call.first("pipeline_tag")
    return wanted <= set(info["tags"]) and (not pipeline_tag or info.get("pipeline_tag") == pipeline_tag)


def get_auth_check(call: Call) -> Response:
    """GET auth-check[/write]: whether the user may read, or write."""
    repo = find_own_repo(call) if call.params.get("right") == "write" else find_repo(call)
    return JSONResponse({"id": repo.full_name})


class _Card(BaseModel):
    content: str
    repoType: str = "model"


def post_validate_yaml(call: Call) -> Response:
    """POST validate-yaml: check a card's metadata before it is uploaded."""
    card, errors = parse_card(call.parse(_Card).content)
    warnings = [] if card or errors else [{"message": "empty or missing yaml metadata in repo card"}]
    answer = {"errors": [{"message": error} for error in errors], "warnings": warnings}
    return JSONResponse(answer, 400 if errors else 200)
