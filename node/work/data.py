"""Where a unit's data comes from, and its shards on their way."""

from __future__ import annotations

from dataclasses import dataclass

from paris.experts.data.shard_order import drawn_as, shard_order
from paris.node.errors import HubRefusedError
from paris.node.fetching.background import BackgroundFetch
from paris.node.fetching.bandwidth import Bandwidth
from paris.node.fetching.cache import Cache
from paris.node.fetching.download import Downloader
from paris.node.fetching.fetcher import PATIENCE_S, Fetcher
from paris.node.fetching.urgency import Urgency
from paris.node.hub.client import Hub, translated
from paris.node.hub.file import Wanted
from paris.node.machine.unit import Unit
from paris.node.retry import LONGEST_WAIT_S, Backoff, Wait
from paris.node.sharing.sharing import Sharing
from paris.node.view import EventKind
from paris.node.work.report import UnitReport
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.lanes import expert_of, lane_of
from paris.protocol.run_records import RunSpec, Shard

_WINDOW_SHARDS = 8
"""Where the RunSpec names none; the default of TrainingConfig, which this process must not import."""
_PATIENCE_OF_DEADLINE = 0.001
"""Other volunteers may delay the first step by at most this part of the task's time."""


@dataclass(frozen=True)
class DataSources:
    """The Hub, the cache and the other volunteers."""

    hub: Hub
    cache: Cache
    bandwidth: Bandwidth
    """The limit of all downloads together."""
    sharing: Sharing | None
    """None: the volunteer does not share."""

    def downloader(self, pause: Wait, max_tries: int | None, report: UnitReport) -> Downloader:
        """Downloads for one unit, from the Hub until `Downloader.peers` is set."""
        downloader = Downloader(
            self.hub,
            self.cache,
            pause,
            max_tries=max_tries,
            backoff=Backoff(cap_s=LONGEST_WAIT_S),
            bandwidth=self.bandwidth,
        )
        downloader.on_retry = report.retrying
        return downloader


def check_token(hub: Hub, model_repo: str) -> None:
    """Check that a submission will be possible, before days of training.

    Raises:
        HubRefusedError: There is no token, or it cannot see the repo.
        TransientHubError: The Hub does not answer now.
    """
    if hub.token is None:
        raise HubRefusedError(
            f"A contribution is a pull request on {model_repo}, which needs a token of the Hub {hub.endpoint}.",
            "Set PARIS_HUB_TOKEN=..., or put the token into the file hub_token in the node's home.",
        )
    auth = hub.whoami().get("auth")
    access = auth.get("accessToken") if isinstance(auth, dict) else None
    with translated("checking the token"):
        hub.api.repo_info(model_repo, repo_type="model")
    # Other Hubs may let a "read" token open pull requests, as embedded ones of 0.1.0 do.
    if hub.endpoint == PUBLIC_ENDPOINT and isinstance(access, dict) and access.get("role") == "read":
        raise HubRefusedError(
            f"The token of {hub.endpoint} may only read, and a contribution is a pull request on {model_repo}.",
            "Make a token that may write, and give it as before.",
        )


def in_order(spec: RunSpec, unit: Unit) -> tuple[list[Shard], Urgency]:
    """A unit's shards in the order in which training needs them, and which of them it needs soon."""
    task, shards = unit.task, unit.shards
    window = int(spec.training.get("window_shards", _WINDOW_SHARDS))
    name = drawn_as(expert_of(task.task_id), lane_of(task.task_id))
    order = shard_order(spec.seed, name, len(shards), epoch=0)
    urgency = Urgency([shards[i].rows for i in order], window, task.batch_size)
    return [shards[i] for i in order], urgency


def start_fetch(
    spec: RunSpec,
    unit: Unit,
    downloader: Downloader,
    sharing: Sharing | None,
    report: UnitReport,
    *,
    parallel: int,
) -> BackgroundFetch:
    """Start to fetch a unit's shards, the first needed first.

    Args:
        spec: The run.
        unit: With its shards.
        downloader: Fetches each; asks other volunteers from now on.
        sharing: Serves the same shards to others; None asks the Hub alone.
        report: Shows that the fetch begins, and that all shards are in the cache.
        parallel: Files at the same time.
    """
    shards, urgency = in_order(spec, unit)
    files = [Wanted(unit.repo, unit.revision, shard.path, shard.sha256, shard.bytes) for shard in shards]
    report.event(EventKind.FETCHING, num_files=len(files), num_bytes=sum(file.num_bytes for file in files))
    patience_s = PATIENCE_S
    if sharing is not None:
        downloader.peers = sharing.work_on(unit.task.cluster, unit.task.manifest_sha256, unit.shards)
        patience_s = min(PATIENCE_S, unit.task.deadline_s * _PATIENCE_OF_DEADLINE)

    def on_ready(num_ready: int) -> None:
        if num_ready == len(files):
            received = {"bytes_received": downloader.bytes_from_hub, "bytes_from_peers": downloader.bytes_from_peers}
            report.event(EventKind.FETCHED, **received)

    fetch = BackgroundFetch(Fetcher(downloader, parallel=parallel, patience_s=patience_s), files, urgency, on_ready)
    fetch.start()
    return fetch
