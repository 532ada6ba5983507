"""Bounds on requests and storage; each is a setting, so that a small machine can be stricter."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024**2
GIB = 1024**3


class HubLimits(BaseModel):
    """The bounds; those on users do not apply to a repository's owner."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_request_bytes: int = Field(default=2 * MIB, gt=0)
    """Bytes of a JSON body, other than a commit's."""
    max_commit_bytes: int = Field(default=64 * MIB, gt=0)
    """Bytes of a commit's body, which contains its small files in base64."""
    max_commit_operations: int = Field(default=25_000, gt=0)
    """Files added, copied or deleted by one commit."""
    max_repo_files: int = Field(default=100_000, gt=0)
    """Files in one revision of a repository."""
    max_repo_refs: int = Field(default=1000, gt=0)
    """Branches and tags of a repository; a listing has all of them."""
    max_regular_bytes: int = Field(default=10 * MIB, gt=0)
    """Bytes of one file inside a commit's body; larger files must be uploaded by LFS."""
    lfs_from_bytes: int = Field(default=1 * MIB, gt=0)
    """Size from which the client must upload a file by LFS."""
    max_object_bytes: int = Field(default=50 * GIB, gt=0)
    """Bytes of one LFS object."""
    multipart_from_bytes: int = Field(default=512 * MIB, gt=0)
    """Size from which objects are uploaded in parts, which are retried separately."""
    part_bytes: int = Field(default=64 * MIB, gt=0)
    """Bytes of one part."""
    max_user_bytes: int = Field(default=100 * GIB, gt=0)
    """Uncommitted uploads, contents of pull requests and comments of one user, in bytes."""
    max_open_threads: int = Field(default=64, gt=0)
    """Open discussions and pull requests of one user in one repository."""
    max_thread_events: int = Field(default=1000, gt=0)
    """Comments and commits of one discussion."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Free disk space that uploads must leave."""
    max_volunteers: int = Field(default=100_000, gt=0)
    """Users who register themselves."""
    upload_url_life_s: float = Field(default=6 * 3600, gt=0)
    """Lifetime of a signed upload URL, in seconds."""
    pending_life_s: float = Field(default=24 * 3600, gt=0)
    """Time after which an uncommitted upload may be deleted, in seconds."""
    idle_account_s: float = Field(default=30 * 24 * 3600, gt=0)
    """Age from which the account of a volunteer who has nothing stored is deleted, in seconds."""
    sweep_every_s: float = Field(default=3600, gt=0)
    """Time between two sweeps of expired uploads and accounts, in seconds."""
    page_entries: int = Field(default=1000, gt=0)
    """Entries of one page of a listing."""
    max_connections: int = Field(default=500, gt=0)
    """Connections at a time, after which those without a request are ended, the longest idle first."""
    head_s: float = Field(default=30, gt=0)
    """Longest wait for the head of a request, in seconds."""
    stall_s: float = Field(default=60, gt=0)
    """Longest pause of a client in sending a body or in reading a response, in seconds."""
    min_body_bytes_per_s: float = Field(default=1024, ge=0)
    """Slowest body, in bytes a second on average, after the first `stall_s`."""
