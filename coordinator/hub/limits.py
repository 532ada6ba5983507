"""What the Hub accepts at most; every bound is a setting, so that a small machine can be stricter."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024**2
GIB = 1024**3


class HubLimits(BaseModel):
    """Bounds on requests and storage."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_request_bytes: int = Field(default=2 * MIB, gt=0)
    """Bytes of any JSON body but a commit's."""
    max_commit_bytes: int = Field(default=64 * MIB, gt=0)
    """Bytes of a commit's body: its small files travel inside, in base64."""
    max_commit_operations: int = Field(default=25_000, gt=0)
    """Files added, copied or deleted by one commit."""
    max_repo_files: int = Field(default=100_000, gt=0)
    """Files in one revision of a repository."""
    max_regular_bytes: int = Field(default=10 * MIB, gt=0)
    """Bytes of one file inside a commit's body; larger files go by LFS."""
    lfs_from_bytes: int = Field(default=1 * MIB, gt=0)
    """Files of this size and more are told to go by LFS."""
    max_object_bytes: int = Field(default=50 * GIB, gt=0)
    """Bytes of one LFS object."""
    multipart_from_bytes: int = Field(default=512 * MIB, gt=0)
    """Objects of this size and more are uploaded in parts, each of which is retried alone."""
    part_bytes: int = Field(default=64 * MIB, gt=0)
    """Bytes of one part."""
    max_pending_bytes: int = Field(default=100 * GIB, gt=0)
    """Bytes that a user without write access may have uploaded and not yet committed."""
    max_open_threads: int = Field(default=64, gt=0)
    """Discussions and pull requests that a user without write access may have open in one repository."""
    max_thread_events: int = Field(default=1000, gt=0)
    """Comments and commits after which a discussion takes no more from users without write access."""
    min_free_bytes: int = Field(default=256 * MIB, ge=0)
    """Bytes of the disk that uploads leave free."""
    max_volunteers: int = Field(default=100_000, gt=0)
    """Users that may register themselves."""
    upload_url_life_s: float = Field(default=6 * 3600, gt=0)
    """Seconds for which a signed upload address holds."""
    pending_life_s: float = Field(default=24 * 3600, gt=0)
    """Seconds after which an upload that no commit named is swept."""
    page_entries: int = Field(default=1000, gt=0)
    """Entries of one page of a listing."""
