"""Upload of large files: the LFS batch, the upload in one piece or in parts, and the verification.

The batch reports an object as present only to users who may commit it (repositories/uploads.py).
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from paris.coordinator.hub.access import find_repo
from paris.coordinator.hub.accounts.tickets import Ticket
from paris.coordinator.hub.bodies import bounded_body, write_in_thread
from paris.coordinator.hub.context import Call
from paris.coordinator.hub.errors import Refusal, bad_request, forbidden
from paris.coordinator.hub.names import is_sha256
from paris.coordinator.hub.repositories.quotas import require_quota
from paris.coordinator.hub.repositories.repos import Repo
from paris.coordinator.hub.repositories.uploads import may_commit, note_uploads
from paris.coordinator.hub.storage.blobs import Part

_LFS_TYPE = "application/vnd.git-lfs+json"
_MAX_PARTS = 10_000


class _Object(BaseModel):
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, lt=2**53)


class _Batch(BaseModel):
    operation: Literal["upload"]
    objects: list[_Object] = Field(max_length=1000)
    hash_algo: Literal["sha256"] = "sha256"


class _Part(BaseModel):
    partNumber: int = Field(ge=1)
    etag: str


class _Completion(BaseModel):
    oid: str
    parts: list[_Part] = Field(max_length=_MAX_PARTS)


def post_batch(call: Call) -> Response:
    """POST .git/info/lfs/objects/batch: for each object its upload URL, or none if it is present."""
    repo = find_repo(call)
    call.require_account()
    batch = call.parse(_Batch)
    limited = not call.user.owns(repo.owner)
    answers: list[dict[str, Any]] = []
    requested_bytes = 0
    for item in batch.objects:
        requested_bytes += item.size
        try:
            _require_room(call, call.user.name, item.size, requested_bytes, limited=limited)
            answers.append(_offer(call, repo, item, limited=limited))
        except Refusal as refusal:
            answers.append({**item.model_dump(), "error": {"code": refusal.status, "message": refusal.what}})
    return JSONResponse(
        {"transfer": "multipart" if _any_parts(answers) else "basic", "objects": answers}, media_type=_LFS_TYPE
    )


def _any_parts(answers: list[dict[str, Any]]) -> bool:
    return any("header" in answer.get("actions", {}).get("upload", {}) for answer in answers)


def _require_room(call: Call, user: str, size: int, requested_bytes: int, *, limited: bool) -> None:
    """Check the bounds on size, disk and pending uploads.

    Called when a URL is issued, and again when the upload begins and its bytes are reserved, since many URLs may have
    been issued meanwhile, and many uploads begin at once.

    Raises:
        Refusal: 413, too large or too much pending; 507, the disk is nearly full.
    """
    limits, blobs, reserved = call.hub.limits, call.hub.blobs, call.hub.reservations
    if size > limits.max_object_bytes:
        raise Refusal(413, f"The file exceeds this Hub's size limit: {size} bytes, limit {limits.max_object_bytes}.")
    if blobs.free_bytes() - requested_bytes - reserved.total() < limits.min_free_bytes:
        raise Refusal(507, "The Hub's disk is nearly full; contact its administrator.")
    if limited:
        more_bytes = requested_bytes + reserved.of_user(user) + blobs.parts_bytes(user)
        require_quota(call.reader, user, more_bytes, limits.max_user_bytes)


def _offer(call: Call, repo: Repo, item: _Object, *, limited: bool) -> dict[str, Any]:
    answer: dict[str, Any] = item.model_dump()
    if call.hub.blobs.size_bytes(item.oid) == item.size and may_commit(call.reader, call.user, item.oid):
        note_uploads(call.hub.store, call.user.name, {item.oid: item.size}, call.now)
        # Checked again, now that the note protects it: a sweep may have deleted it in between.
        if call.hub.blobs.size_bytes(item.oid) == item.size:
            return answer
    limits = call.hub.limits
    in_parts = item.size >= limits.multipart_from_bytes
    part_bytes = max(limits.part_bytes, math.ceil(item.size / _MAX_PARTS)) if in_parts else 0
    whole = Ticket(
        oid=item.oid,
        size=item.size,
        user=call.user.name,
        repo=repo.label,
        limited=limited,
        part_bytes=part_bytes,
        expires=int(call.now + limits.upload_url_life_s),
    )
    upload: dict[str, Any] = {"href": _address(call, whole)}
    if in_parts:
        parts = [whole.model_copy(update={"part": n + 1}) for n in range(math.ceil(item.size / part_bytes))]
        upload["header"] = {"chunk_size": str(part_bytes), **{str(p.part): _address(call, p) for p in parts}}
    verify = f"{call.base_url}/{repo.web_path}.git/info/lfs/verify"
    answer["actions"] = {"upload": upload, "verify": {"href": verify}}
    return answer


def _address(call: Call, ticket: Ticket) -> str:
    return f"{call.base_url}/lfs/objects/{ticket.oid}?{call.hub.tickets.query(ticket)}"


def read_ticket(call: Call) -> Ticket:
    """The ticket in the address.

    Raises:
        Refusal: 403, it is not signed, has expired, or is for another object.
    """
    ticket = call.hub.tickets.check({name: values[0] for name, values in call.query.items()})
    if ticket.oid != call.params["oid"] or not is_sha256(ticket.oid):
        raise forbidden("This upload address is for another object.")
    call.repo_label = ticket.repo
    call.part_label = "(objects)"
    call.traffic_user = ticket.user
    return ticket


def _require_room_for(call: Call, ticket: Ticket) -> None:
    _require_room(call, ticket.user, ticket.size, 0, limited=ticket.limited)


async def put_object(call: Call) -> Response:
    """PUT of an object's bytes, or of one part's, to a signed URL, without a token."""
    ticket = read_ticket(call)
    if ticket.part:
        return await _put_part(call, ticket)
    if ticket.part_bytes:
        raise bad_request("This object must be uploaded in parts.")
    with call.hub.reservations.hold(ticket.user, ticket.size):
        await call.in_thread(_require_room_for, call, ticket)
        incoming = await call.in_thread(call.hub.blobs.incoming)
        try:
            await write_in_thread(call, bounded_body(call, ticket.size), incoming.write)
            await call.in_thread(incoming.finish, ticket.oid, ticket.size)
        finally:
            await call.in_thread(incoming.discard)
        await call.in_thread(note_uploads, call.hub.store, ticket.user, {ticket.oid: ticket.size}, call.now)
    return Response(headers={"ETag": f'"{ticket.oid}"'})


async def _put_part(call: Call, ticket: Ticket) -> Response:
    """Write one part at its offset; the object is checked on completion."""
    size = min(ticket.part_bytes, ticket.size - (ticket.part - 1) * ticket.part_bytes)
    part = await call.in_thread(_open_part, call, ticket)
    try:
        await write_in_thread(call, bounded_body(call, size), part.write)
    finally:
        await call.in_thread(part.close)
    if part.num_bytes != size:
        raise bad_request(f"Part {ticket.part} has {part.num_bytes} bytes, not {size}.")
    return Response(headers={"ETag": f'"{ticket.part}-{part.num_bytes}"'})


def _open_part(call: Call, ticket: Ticket) -> Part:
    blobs, offset = call.hub.blobs, (ticket.part - 1) * ticket.part_bytes
    if blobs.part_file(ticket.user, ticket.oid).exists():
        return blobs.part(ticket.user, ticket.oid, offset=offset)
    with call.hub.reservations.hold(ticket.user, ticket.size):
        _require_room_for(call, ticket)
        blobs.reserve_parts(ticket.user, ticket.oid, ticket.size)
    return blobs.part(ticket.user, ticket.oid, offset=offset)


def post_completion(call: Call) -> Response:
    """POST after the last part: check the parts and store the object."""
    ticket = read_ticket(call)
    completion = call.parse(_Completion)
    numbers = [part.partNumber for part in completion.parts]
    if not ticket.part_bytes or ticket.part or completion.oid != ticket.oid:
        raise bad_request("This upload address is not for the completion of this object.")
    if numbers != list(range(1, math.ceil(ticket.size / ticket.part_bytes) + 1)):
        raise bad_request("Some parts are missing.")
    call.hub.blobs.join_parts(ticket.user, ticket.oid, ticket.size)
    note_uploads(call.hub.store, ticket.user, {ticket.oid: ticket.size}, call.now)
    return JSONResponse({"oid": ticket.oid}, media_type=_LFS_TYPE)


def post_verify(call: Call) -> Response:
    """POST .git/info/lfs/verify: whether the object is complete."""
    find_repo(call)
    call.require_login()
    item = call.parse(_Object)
    if call.hub.blobs.size_bytes(item.oid) != item.size or not may_commit(call.reader, call.user, item.oid):
        raise Refusal(404, f"Object {item.oid} not found.")
    return JSONResponse({}, media_type=_LFS_TYPE)
