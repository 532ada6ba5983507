"""leased -> fetching -> training -> uploading: from the lease to the finished weights."""

from __future__ import annotations

import math
from typing import Any

from paris.node.errors import HubRefusedError
from paris.node.fetching.background import BackgroundFetch
from paris.node.fetching.download import Downloader
from paris.node.fetching.fetcher import PATIENCE_S, Fetcher
from paris.node.fetching.shared_files import fetch_shared_files
from paris.node.fetching.urgency import Urgency
from paris.node.hub.client import translated
from paris.node.hub.file import Wanted
from paris.node.machine.config import NodeConfig
from paris.node.machine.hardware import Hardware, require_fit
from paris.node.machine.unit import Finished
from paris.node.swarm.coordinator_records import read_manifest
from paris.node.trainer.supervisor import Order, ShardFile, supervise
from paris.node.view import EventKind
from paris.node.work.unit_work import UnitWork
from paris.protocol.records import Shard

_WINDOW_SHARDS = 8
"""Where the run does not say; the default of TrainingConfig, which this process must not import."""
_PATIENCE_OF_DEADLINE = 0.001
"""Other volunteers may delay the first step by this part of the task's time at most."""


def accept(work: UnitWork) -> None:
    """From leased to fetching: the task fits, the token is good, the shard list is known.

    Raises:
        TaskTooBigError: The task asks for more than this machine has.
        HubRefusedError: The token cannot submit; told now, not after days of training.
    """
    node, task = work.node, work.unit.task
    require_fit(task, node.hardware)
    work.beat("fetching")
    work.persist(lambda: _check_token(work))
    manifest = work.persist(lambda: read_manifest(node.swarm, node.hub, node.spec, task))
    work.advance("fetching", repo=manifest.repo, revision=manifest.revision, shards=manifest.shards)


def train(work: UnitWork) -> None:
    """From fetching by way of training to uploading: the trainer starts when the first shard of its order is in.

    Raises:
        TrainerError: The trainer cannot finish here.
        DiskFullError: No room for data or for a snapshot; the unit stays, and goes on when there is.
        WrongHashError, HubRefusedError, HubUnreachableError: The data does not come.
        LeaseLostError, StoppedError: Somebody said no; snapshots and shards stay.
    """
    work.beat("fetching")
    fetch = start_fetch(work)
    fetch.wait_first(work.check)
    if work.unit.state == "fetching":
        work.advance("training")
    listener = _TrainerListener(work)
    end = supervise(_order(work), work.folder.log, on_event=listener.hear, check=work.check, pause=work.node.stop.pause)
    finished = Finished.model_validate({name: end[name] for name in Finished.model_fields})
    work.progress |= {"step": finished.steps, "loss": finished.final_loss}
    work.advance("uploading", finished=finished)
    work.event(EventKind.UPLOADING, num_bytes=finished.bytes)
    _tell_traffic(work, end)


def _tell_traffic(work: UnitWork, end: dict[str, Any]) -> None:
    """What this volunteer exchanged so far; the trainer nothing, as it could never open an internet socket."""
    traffic = work.node.swarm.traffic()
    work.event(
        EventKind.TRAFFIC,
        control_plane_bytes=traffic.bytes_sent + traffic.bytes_received,
        trainer_bytes=0 if end["sockets"] == 0 else None,
        trainer_sockets=end["sockets"],
        trainer_refused=end["network_refused"],
    )


def _check_token(work: UnitWork) -> None:
    hub, repo = work.node.hub, work.node.spec.model_repo
    if hub.token is None:
        raise HubRefusedError(
            f"A contribution is a pull request on {repo}, which needs a token of the Hub {hub.endpoint}.",
            "Set PARIS_HUB_TOKEN=..., or put the token into the file hub_token in the node's home.",
        )
    with translated("checking the token"):
        hub.api.whoami()
        hub.api.repo_info(repo, repo_type="model")


def start_fetch(work: UnitWork) -> BackgroundFetch:
    """Fetch what all experts share, then begin with the shards, in the order in which training needs them.

    Raises:
        WrongHashError, HubRefusedError, HubUnreachableError, DiskFullError: What all experts share does not come.
    """
    node, unit = work.node, work.unit
    config = node.config
    downloader = Downloader(
        node.hub,
        node.cache,
        node.stop.pause,
        max_tries=config.max_tries,
        backoff=node.backoff,
        bandwidth=node.download,
    )
    fetcher = Fetcher(downloader, parallel=config.parallel_downloads)
    text = node.home.text_folder(unit.run_id)
    work.persist(lambda: fetch_shared_files(downloader, node.spec, unit.revision, text))
    shards, urgency = in_order(work)
    files = [Wanted(unit.repo, unit.revision, shard.path, shard.sha256, shard.bytes) for shard in shards]
    work.event(EventKind.FETCHING, num_files=len(files), num_bytes=sum(file.num_bytes for file in files))
    if node.sharing is not None:
        downloader.peers = node.sharing.work_on(unit.task.cluster, unit.task.manifest_sha256, unit.shards)
        fetcher.patience_s = min(PATIENCE_S, unit.task.deadline_s * _PATIENCE_OF_DEADLINE)

    def on_ready(num_ready: int) -> None:
        if num_ready == len(files):
            work.event(
                EventKind.FETCHED,
                bytes_received=downloader.bytes_from_hub,
                bytes_from_peers=downloader.bytes_from_peers,
            )

    work.fetch = BackgroundFetch(fetcher, files, urgency, on_ready)
    work.fetch.start()
    return work.fetch


def in_order(work: UnitWork) -> tuple[list[Shard], Urgency]:
    """The task's shards in the order in which training needs them, and what says which of them it needs soon."""
    from paris.experts.data.order import RowOrder  # torch; hivemind has imported it already

    spec, task, shards = work.node.spec, work.unit.task, work.unit.shards
    window = int(spec.training.get("window_shards", _WINDOW_SHARDS))
    order = RowOrder(spec.seed, task.task_id, [shard.rows for shard in shards], window).first_shards()
    urgency = Urgency([shards[i].rows for i in order], window, task.batch_size)
    return [shards[i] for i in order], urgency


def _order(work: UnitWork) -> Order:
    node, unit, spec = work.node, work.unit, work.node.spec
    return Order(
        run_id=unit.run_id,
        task_id=unit.task.task_id,
        seed=spec.seed,
        steps=unit.task.steps,
        batch_size=unit.task.batch_size,
        model=spec.model,
        training=spec.training,
        objective=unit.task.objective,
        text=spec.text,
        codec=spec.codec,
        initial_weights=spec.initial_weights,
        shards=tuple(ShardFile(path=str(node.cache.file(s.sha256).absolute()), rows=s.rows) for s in unit.shards),
        text_folder=str(node.home.text_folder(unit.run_id).absolute()),
        work=str(work.folder.work.absolute()),
        device=node.hardware.device,
        threads=node.config.threads,
        nice=node.config.nice,
        machine=machine_settings(node.config, node.hardware),
    )


def machine_settings(config: NodeConfig, hardware: Hardware) -> dict[str, Any]:
    """What the trainer is told of this machine: fields of `paris.experts.training.machine.MachineSettings`.

    A GPU says itself when its memory is full; a CPU's system would end the process, so its memory is told.

    Args:
        config: What the volunteer chose.
        hardware: What there is.
    """
    chosen = {name: getattr(config, name) for name in ("micro_batch_size", "checkpointing", "compile")}
    limit = {"memory_limit_bytes": hardware.memory_bytes} if hardware.device == "cpu" else {}
    return {name: value for name, value in (chosen | limit).items() if value is not None}


class _TrainerListener:
    """Turns what the trainer says into heartbeats and events.

    Args:
        work: The unit that is trained.
    """

    def __init__(self, work: UnitWork) -> None:
        self._work = work
        self._commitment_step = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Take one event of the trainer."""
        if event["event"] == "restarting":
            self._work.event(EventKind.RESTARTING, code=event["code"], deaths=event["deaths"])
        if event["event"] == "progress":
            self._progress(event)

    def _progress(self, event: dict[str, Any]) -> None:
        work, steps, speed = self._work, self._work.unit.task.steps, float(event["steps_per_s"])
        loss = event["loss"] if event["loss"] is not None and math.isfinite(event["loss"]) else None
        names = ("step", "steps_per_s", "commitment", "commitment_step")
        work.progress = {name: event[name] for name in names} | {"loss": loss}
        if work.fetch is not None:
            work.fetch.urgency.step = event["step"]
        work.beat("training")
        if event["note"]:
            work.event(EventKind.NOTE, text=event["note"])
        if speed == 0:  # the first report of a life comes before its first step
            work.event(EventKind.TRAINER_READY, step=event["step"], steps=steps)
            return
        work.event(
            EventKind.TRAINING,
            step=event["step"],
            steps=steps,
            loss=loss,
            steps_per_s=speed,
            eta_s=(steps - event["step"]) / speed if speed > 0 else 0.0,
            heartbeat_at=work.node.announcer.last_accepted_at,
        )
        if event["commitment_step"] > self._commitment_step:
            self._commitment_step = event["commitment_step"]
            work.event(EventKind.SNAPSHOT, step=event["commitment_step"], commitment=event["commitment"])
