"""The table of all routes."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from paris.coordinator.hub import access
from paris.coordinator.hub.api import browse, commits, discussions, infos, lfs, refs, repos, resolve, users
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.pages import commit_pages, file_pages, repo_pages, thread_pages
from paris.coordinator.hub.routing import Route

_API = "api/{kind}/{owner}/{name}"
_THREAD = _API + "/discussions/{num}"
_LFS = "{owner}/{name}.git/info/lfs"

_REPOS = [
    Route("GET", "api/whoami-v2", users.get_whoami),
    Route("POST", "api/repos/create", repos.post_create_repo),
    Route("DELETE", "api/repos/delete", repos.delete_repo),
    Route("POST", "api/validate-yaml", infos.post_validate_yaml, admit=access.anyone),
    Route("GET", "api/paris/traffic", users.get_traffic),
    Route("GET", "api/{kind}", infos.get_list),
    Route("GET", "api/{kind}/{name}", repos.get_short_name),
    Route("GET", _API, infos.get_info),
    Route("GET", _API + "/revision/{rev}", infos.get_info),
    Route("GET", _API + "/auth-check", infos.get_auth_check),
    Route("GET", _API + "/auth-check/{right}", infos.get_auth_check),
    Route("PUT", _API + "/settings", repos.put_settings),
]
_REVISIONS = [
    Route("GET", _API + "/tree/{rev}", browse.get_tree),
    Route("GET", _API + "/tree/{rev}/{path*}", browse.get_tree),
    Route("POST", _API + "/paths-info/{rev}", browse.post_paths_info, admit=access.find_repo),
    Route("GET", _API + "/commits/{rev}", browse.get_commits),
    Route("GET", _API + "/refs", refs.get_refs),
    Route("POST", _API + "/branch/{branch}", refs.post_branch),
    Route("DELETE", _API + "/branch/{branch}", refs.delete_branch),
    Route("POST", _API + "/tag/{rev}", refs.post_tag),
    Route("DELETE", _API + "/tag/{tag}", refs.delete_tag),
    Route("POST", _API + "/preupload/{rev}", commits.post_preupload),
    Route("POST", _API + "/commit/{rev}", commits.post_commit, admit=commits.require_commit_right, is_commit=True),
]
_DISCUSSIONS = [
    Route("GET", _API + "/discussions", discussions.get_discussions),
    Route("POST", _API + "/discussions", discussions.post_discussion),
    Route("GET", _THREAD, discussions.get_discussion),
    Route("POST", _THREAD + "/comment", discussions.post_comment),
    Route("POST", _THREAD + "/status", discussions.post_status),
    Route("POST", _THREAD + "/title", discussions.post_title),
    Route("POST", _THREAD + "/merge", discussions.post_merge),
    Route("DELETE", _THREAD + "/ref", discussions.delete_pull_request_ref),
]
_BYTES = [
    Route("PUT", "lfs/objects/{oid}", lfs.put_object),
    Route("POST", "lfs/objects/{oid}", lfs.post_completion, admit=lfs.read_ticket),
    Route("POST", _LFS + "/objects/batch", lfs.post_batch),
    Route("POST", "{kind}/" + _LFS + "/objects/batch", lfs.post_batch),
    Route("POST", _LFS + "/verify", lfs.post_verify),
    Route("POST", "{kind}/" + _LFS + "/verify", lfs.post_verify),
    Route("GET", "{kind}/{owner}/{name}/resolve/{rev}/{path*}", resolve.get_file),
    Route("GET", "{owner}/{name}/resolve/{rev}/{path*}", resolve.get_file),
]
_OF_REPO: dict[str, Callable[[Call], Response]] = {
    "": repo_pages.get_repo_page,
    "/tree/{rev}": file_pages.get_folder_page,
    "/tree/{rev}/{path*}": file_pages.get_folder_page,
    "/blob/{rev}/{path*}": file_pages.get_file_page,
    "/commits/{rev}": commit_pages.get_history_page,
    "/commit/{oid}": commit_pages.get_commit_page,
    "/refs": repo_pages.get_refs_page,
    "/discussions": thread_pages.get_threads_page,
    "/discussions/{num}": thread_pages.get_thread_page,
}
# All with a kind first: a data set may be named as the second part of another address is.
_PAGES = [
    Route("GET", "", repo_pages.get_index),
    *(Route("GET", "{kind}/{owner}/{name}" + below, handler) for below, handler in _OF_REPO.items()),
    *(Route("GET", "{owner}/{name}" + below, handler) for below, handler in _OF_REPO.items()),
]

ROUTES = [*_REPOS, *_REVISIONS, *_DISCUSSIONS, *_BYTES, *_PAGES]
"""Matched in this order."""
