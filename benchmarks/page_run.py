"""A run directory with a state as large as one likes, for the page's benchmark, screenshots and tests in a browser."""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageDraw

from paris.coordinator.run.create import create_run
from paris.coordinator.run.directory import RunDir
from paris.coordinator.run.health import Health, write_health
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import LeaseState, State, SubmissionState, TaskState, VolunteerState
from paris.coordinator.state.store import Store
from paris.coordinator.verify.curves import ScoredPoint
from paris.coordinator.verify.report import Report, write_report
from paris.protocol.run_records import Registration, SubmittedFile, Task
from paris.protocol.work_records import Heartbeat, Lease, Rung, Submission, Verdict, Want

_STEPS, _LEG = 24_000, 6_000
_NAMES = ("ada", "ben", "chioma", "dariusz", "eun-ji", "fatima", "gonzalo", "hana", "iris", "jun", "kofi", "lena")
_CARDS = ("cuda: NVIDIA GeForce RTX 4090, 24 GiB", "mps: Apple M3 Max, 48 GiB", "cpu: x86_64 CPU, 16 cores, 62 GiB")
_WORDS = ("red", "small", "tree", "boat", "face", "night", "street", "bird", "glass", "hill", "sign", "flower")


def make_page_run(folder: Path, num_experts: int, num_volunteers: int, now: float, seed: int = 0) -> RunDir:
    """Make a run in the middle of its training.

    Args:
        folder: Missing or empty.
        num_experts: K, at most 256.
        num_volunteers: At least K.
        now: UTC seconds; what happened was before.
        seed: Of names, losses and times.
    """
    run = create_run(folder, recipe="emoji", name="garden-birds")
    _settle(run, num_experts)
    draw = random.Random(seed)
    state = _with_work(_people(num_volunteers, num_experts, now, draw), num_experts, now, draw)
    store = Store(run.state_file)
    before = State()
    for hours in range(30, 0, -1):
        earlier = _earlier(state, hours / 30)
        store.save(before, earlier, [], now - 3600 * hours)
        before = earlier
    store.save(before, state, _events(state), now - 60)
    store.close()
    with closing(sqlite3.connect(run.state_file)) as db, db:
        db.execute("DELETE FROM curves")
        db.executemany("INSERT INTO curves (task_id, attempt, step, loss) VALUES (?, 1, ?, ?)", _curves(state, draw))
    write_health(run.path, Health(at=now, started_at=now - 9e4, tick_s=0.4, num_peers=31, num_refused_records=12,
                                  num_verifications=40, verification_s=900.0))  # fmt: skip
    _clusters(run, num_experts, draw)
    _scores(run, state, num_experts, draw)
    _samples(run.path / "samples" / "step-12000.png", draw)
    return run


def _settle(run: RunDir, num_experts: int) -> None:
    text = (run.path / "run.toml").read_text("utf-8")
    text = text.replace("num_experts = 4", f"num_experts = {num_experts}").replace("train_after = 3", "train_after = 0")
    text = text.replace("the demo: emoji, learnt by heart", "Garden birds, painted by neighbours")
    text = text.replace("two CPU cores and a few minutes", "one GPU with 8 GB, or an Apple laptop")
    text = text.replace("total_batch_size = 32", f"total_batch_size = {8 * num_experts}")
    text = text.replace("public_page = false", "public_page = true")
    text = re.sub(r"heartbeat_every_s = .*", "heartbeat_every_s = 60", text)
    (run.path / "run.toml").write_text(text, "utf-8")


def _people(count: int, num_busy: int, now: float, draw: random.Random) -> dict[str, VolunteerState]:
    people = {}
    for number in range(count):
        key = hashlib.sha256(f"volunteer {number}".encode()).hexdigest()
        name = _NAMES[number % len(_NAMES)] + (f"-{number}" if number >= len(_NAMES) else "")
        want = Want(
            name=name,
            device=draw.choice(_CARDS),
            memory_bytes=2**34,
            disk_bytes=2**37,
            state="busy" if number < num_busy else "waiting",
            node_version="0.1.0",
        )
        people[key] = VolunteerState(
            public_key=key,
            want=want,
            seen_at=now - draw.choice((1, 3, 5, 7, 4000)),
            want_sequence=1,
            waiting_since=now - 500,
            num_accepted=draw.randrange(4),
        )
    return people


def _with_work(people: dict[str, VolunteerState], num_experts: int, now: float, draw: random.Random) -> State:
    """Every fourth expert is registered; the others are at a leg, open, or wait for a verdict."""
    tasks, leases, submissions = {}, {}, {}
    keys = list(people)
    for number in range(num_experts):
        kind = ("registered", "training", "training", "submitted", "open", "rejected", "fetching", "training")[
            number % 8
        ]
        key = keys[number]
        task = _task(number, "leased" if kind in ("training", "fetching") else "open" if kind == "rejected" else kind)
        lease = Lease(lease_id=hashlib.md5(f"{number}".encode()).hexdigest(), task_id=task.task_id, attempt=1,
                      volunteer=key, granted_at=now - 9000, expires_at=now + 600)  # fmt: skip
        step = 0 if kind in ("open", "fetching") else _STEPS if kind != "training" else draw.randrange(2000, 22000)
        beat = Heartbeat(lease_id=lease.lease_id, task_id=task.task_id, attempt=1,
                         state="fetching" if kind == "fetching" else "training", step=step,
                         loss=None if kind == "fetching" else _loss(step, number), steps_per_s=4.0)  # fmt: skip
        if kind != "open":
            leases[lease.lease_id] = LeaseState(lease=lease, heartbeat=beat, heartbeat_at=now - draw.randrange(1, 60))
        held = TaskState(task=task, lease_id=lease.lease_id if task.state in ("leased", "submitted") else None)
        if kind in ("registered", "submitted", "rejected"):
            known = _submission(lease, people[key].want.name, kind, now)
            submissions[lease.lease_id] = known
            held = held.registered(_registration(known, number)) if kind == "registered" else held
        tasks[task.task_id] = held
    return State(tasks=tasks, leases=leases, volunteers=people, submissions=submissions)


def _task(number: int, state: str) -> Task:
    fields = {"steps": _STEPS, "batch_size": 64, "manifest_sha256": "0" * 64, "data_bytes": 10**9}
    limits = {"min_memory_bytes": 2**32, "min_disk_bytes": 2**33, "deadline_s": 86400.0, "grace_s": 600.0}
    attempt = 0 if state == "open" else 1
    return Task(task_id=f"expert-{number}", cluster=number, state=state, attempt=attempt, **fields, **limits)


def _submission(lease: Lease, name: str, kind: str, now: float) -> SubmissionState:
    file = SubmittedFile(path="submissions/x/expert.safetensors", sha256="1" * 64, bytes=10)
    place = {"repo": "paris/emoji", "pull_request": 7, "commit": "0" * 40, "commitment": "2" * 64, "files": (file,)}
    work = Submission(lease_id=lease.lease_id, task_id=lease.task_id, attempt=1, name=name, steps=_STEPS,
                      final_loss=0.31, **place)  # fmt: skip
    notes = {
        "envelope": (130e6, 131e6, "bytes of the checkpoint"),
        "structure": (12.5, 50.0, "norm of layers.0.mlp.2.bias against its start"),
        "novelty": (0.41, 0.98, "cosine of the way from the start with that of expert-2"),
        "skill": (0.27 if kind == "registered" else 0.02, 0.1, "fall of the held-out loss against the initial weights"),
    }
    rungs = tuple(
        Rung(rung=rung, passed=kind == "registered" or rung != "skill", figure=figure, bound=bound, note=note)
        for rung, (figure, bound, note) in notes.items()
    )
    reason = "All rungs passed." if kind == "registered" else "skill: learned-nothing: 0.02, at least 0.1 is asked for."
    verdict = Verdict(lease_id=lease.lease_id, task_id=lease.task_id, attempt=1, volunteer=lease.volunteer,
                      accepted=kind == "registered", reason=reason, rungs=rungs)  # fmt: skip
    phase = {"registered": "registered", "submitted": "seen", "rejected": "closed"}[kind]
    return SubmissionState(submission=work, signer=lease.volunteer, envelope="{}" * 900, seen_at=now - 4000,
                           phase=phase, verdict=None if kind == "submitted" else verdict)  # fmt: skip


def _registration(known: SubmissionState, number: int) -> Registration:
    work = known.submission
    place = {"repo": work.repo, "commit": "0" * 40, "path": f"expert_{number}/x.safetensors", "bytes": 10}
    return Registration(task_id=work.task_id, cluster=number, sha256=hashlib.sha256(bytes([number])).hexdigest(),
                        steps=_STEPS, volunteer=known.signer, volunteer_name=work.name, lease_id=work.lease_id,
                        **place)  # fmt: skip


def _loss(step: int, number: int) -> float:
    return 0.28 + 0.02 * (number % 5) + 0.9 * math.exp(-step / 2500)


def _curves(state: State, draw: random.Random) -> list[tuple[str, int, float]]:
    points = []
    for held in state.leases.values():
        last = 0 if held.heartbeat is None else held.heartbeat.step
        number = int(held.lease.task_id.rpartition("-")[2])
        for place in range(200 if last else 0):
            step = last * (place + 1) // 200
            points.append((held.lease.task_id, step, _loss(step, number) + draw.gauss(0, 0.004)))
    return points


def _events(state: State) -> list[Event]:
    people = list(state.volunteers.values())[:400]
    events = [
        Event(EventKind.JOINED, f"{it.want.name} ({it.public_key[:8]}) joined: {it.want.device}.") for it in people
    ]
    for known in state.submissions.values():
        work = known.submission
        events.append(Event(EventKind.SUBMITTED, f"{work.task_id}: {work.name} submitted pull request 7."))
        if known.verdict is not None:
            kind = EventKind.ACCEPTED if known.verdict.accepted else EventKind.REJECTED
            events.append(Event(kind, f"{work.task_id}: {work.name} {kind}. {known.verdict.reason}"))
    return events


def _earlier(state: State, share: float) -> State:
    """The state as it may have been: with so much less done, by share in [0, 1]."""
    tasks = {}
    for number, (name, task) in enumerate(state.tasks.items()):
        tasks[name] = task.unregistered().reopened() if number / len(state.tasks) > 1 - share else task
    return replace(state, tasks=tasks)


def _clusters(run: RunDir, num_experts: int, draw: random.Random) -> None:
    clusters = [
        {
            "cluster": number,
            "rows": 4000 + 17 * number,
            "heldout_rows": 200,
            "bytes": 3 * 10**8,
            "frequent_words": draw.sample(_WORDS, 6),
            "examples": [
                {"caption": f"a {a} with a {b}", "row_id": f"{number}"}
                for a, b in zip(_WORDS, _WORDS[3:], strict=False)
            ],
        }
        for number in range(num_experts)
    ]
    run.data.mkdir(exist_ok=True)
    (run.data / "clusters.json").write_text(json.dumps({"clusters": clusters}), "utf-8")


def _scores(run: RunDir, state: State, num_experts: int, draw: random.Random) -> None:
    """Reports of the registered experts: each is the better, the nearer a cluster is to its own."""
    for task_id, task in state.experts.items():
        if task.registration is None:
            continue
        own = task.task.cluster
        heldout = {
            cluster: tuple(0.4 + 0.3 * min(4, abs(cluster - own)) / 4 + draw.uniform(-0.02, 0.02) for _ in range(8))
            for cluster in range(num_experts)
        }
        lease_id = task.registration.lease_id
        report = Report(task_id=task_id, attempt=1, lease_id=lease_id, volunteer=task.registration.volunteer,
                        accepted=True, reason="", rungs=(), repo="birds/model",
                        scores=ScoredPoint(step=_STEPS, training_loss=0.4, heldout=heldout))  # fmt: skip
        folder = run.verify / lease_id
        folder.mkdir(parents=True)
        write_report(report, folder / "report.json")
    bins = [(low / 10, (low + 1) / 10, 0.97 - 0.007 * low**2) for low in range(10)]
    off = [(low, high, 0.01 + 0.02 * low) for low, high, _ in bins]
    run.router.mkdir(exist_ok=True)
    figures = {"accuracy_by_noise": bins, "calibration_by_noise": off, "chance": 1 / num_experts}
    (run.router / "report.json").write_text(json.dumps(figures), "utf-8")


def _samples(path: Path, draw: random.Random) -> None:
    """A grid of made-up pictures: coloured shapes, which nobody holds rights to."""
    side, columns, rows = 72, 8, 3
    picture = Image.new("RGB", (columns * side, rows * side), "#ffffff")
    pen = ImageDraw.Draw(picture)
    for place in range(columns * rows):
        x, y = place % columns * side, place // columns * side
        colour = tuple(draw.randrange(70, 235) for _ in range(3))
        pen.rectangle((x + 3, y + 3, x + side - 3, y + side - 3), fill=tuple(255 - part // 4 for part in colour))
        pen.ellipse((x + 16, y + 24, x + 56, y + 52), fill=colour)
        pen.ellipse((x + 44, y + 16, x + 62, y + 34), fill=colour)
        pen.polygon(((x + 61, y + 22), (x + 68, y + 26), (x + 61, y + 29)), fill="#e0902f")
        pen.ellipse((x + 52, y + 21, x + 56, y + 25), fill="#20242c")
    path.parent.mkdir(exist_ok=True)
    picture.save(path)
