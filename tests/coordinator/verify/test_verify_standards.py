"""Which steps a claimed loss is measured on, which experts are yardsticks, and what the reference on disk keeps."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError
from verify_attempt import Attempt
from verify_world import BOUNDS, MODEL, STEPS, World

from paris.coordinator.errors import NotReadyError, RunDirError
from paris.coordinator.run.create import create_run
from paris.coordinator.verify import OtherCheckpoint, VerificationBounds
from paris.coordinator.verify.claims import _drawn_steps, check_claim
from paris.coordinator.verify.curves import ReferenceCurve, ScoredPoint
from paris.coordinator.verify.header import DTYPE_BYTES
from paris.coordinator.verify.reference_file import StoredCurve, made_of, read_reference, save_curve
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.scoring import Scoring, SecretRows
from paris.coordinator.verify.yardsticks import yardsticks_of
from paris.experts.training.ema import ema_decay_at
from paris.experts.training.loop import LOSS_DECAY
from paris.protocol.errors import NewerFileError
from paris.protocol.manifest import Manifest
from paris.protocol.run_records import Shard
from paris.protocol.signing import Identity

NUM_DRAWN = 20_000
TINY = Path(__file__).parents[2] / "swarm" / "tiny.toml"


def drawn(last_step: int, num_drawn: int = NUM_DRAWN) -> Counter:
    bounds = BOUNDS.model_copy(update={"claim_rows": 16 * num_drawn})
    lease, task = SimpleNamespace(lease_id="a" * 32), SimpleNamespace(batch_size=16)
    return Counter(_drawn_steps(SimpleNamespace(bounds=bounds, seed=5, lease=lease, task=task), last_step))


@pytest.mark.parametrize("last_step", [1, 4, 30])
def test_steps_are_drawn_with_their_weight_in_the_running_mean_that_is_claimed(last_step):
    mean = [0.0] * last_step
    for step in range(last_step):
        decay = 0.0 if step == 0 else ema_decay_at(step, LOSS_DECAY)
        mean = [decay * weight + (1 - decay) * (number == step) for number, weight in enumerate(mean)]
    assert sum(mean) == pytest.approx(1)
    found = drawn(last_step)
    for step, weight in enumerate(mean):
        assert found[step] / NUM_DRAWN == pytest.approx(weight, abs=0.015)


def test_steps_too_old_to_weigh_anything_are_not_drawn_and_one_is_drawn_at_least():
    assert min(drawn(1000)) >= 600
    assert max(drawn(1000)) == 999
    assert drawn(1000, 0).total() == 1
    assert drawn(50, 7).total() == 7


def test_the_claimed_loss_is_measured_on_the_batches_of_the_training_itself(world):
    """One step of a real training, with a batch that is scored in two pieces: its loss is that of the first weights."""
    trained, volunteer = world.train(0, steps=1, batch_size=80), Identity.generate()
    attempt = Attempt(
        world, 0, volunteer, world.lease(0, volunteer), world.task(0, batch_size=80), b"w", trained.final_loss, "c" * 64
    )
    case = attempt.submit()
    scoring, weights, checks = Scoring(SecretRows.of(case), MODEL), world.initial(), Checks()
    check_claim(case, scoring, weights, (trained.final_loss, 1), None, checks)
    assert [(check.name, check.figure) for check in checks.made] == [("claimed-loss", pytest.approx(1, rel=1e-4))]
    assert checks.remarks == []
    with pytest.raises(CheckFailed, match="factor between the claimed training loss"):
        check_claim(case, scoring, weights, (trained.final_loss / 1.51, 1), None, checks)
    lost = case.model_copy(update={"shards": (*case.shards[:1], Path("none.parquet"))})
    with pytest.raises(NotReadyError, match=r"none\.parquet is missing"):
        check_claim(lost, scoring, weights, (trained.final_loss, 1), None, checks)


def test_the_widths_of_the_types_of_safetensors():
    bits = {name: int("".join(filter(str.isdigit, name)) or 8) for name in DTYPE_BYTES}
    assert {name: 8 * width for name, width in DTYPE_BYTES.items()} == bits
    assert set(DTYPE_BYTES) == {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}


def test_rounding_of_sixteen_bits_may_carry_a_replay_farther():
    assert BOUNDS.max_replay("float32") == BOUNDS.max_replay_distance
    assert BOUNDS.max_replay("bfloat16") == BOUNDS.max_replay("float16") == BOUNDS.max_replay_distance_16bit


def takes(name: str, value: float) -> bool:
    try:
        VerificationBounds(**{name: value})
    except ValidationError:
        return False
    return True


def test_only_bounds_that_may_be_switched_off_may_be_infinite_and_none_is_no_number():
    names = [name for name, field in VerificationBounds.model_fields.items() if isinstance(field.default, float)]
    assert [name for name in names if takes(name, float("nan"))] == []
    infinite = [name for name in names if takes(name, float("inf"))]
    assert infinite == ["max_late_s", "max_reference_claim_ratio", "max_claim_ratio"]


def other(cluster: int, step: int | None = None, *, registered: bool = True, here: bool = True) -> OtherCheckpoint:
    return OtherCheckpoint(
        task_id=f"expert-{cluster}", cluster=cluster, sha256="1" * 64, volunteer="2" * 64,
        path=Path("x") if here else None, registered=registered, step=step,
    )  # fmt: skip


def test_on_each_other_cluster_the_expert_that_came_farthest_but_no_farther_is_a_yardstick():
    task = World(Path(), "", "").task(0)
    others = (
        other(0, 50), other(3, 50), other(3, 60), other(3, 61), other(1, 60), other(2, registered=True),
        other(4, 60, registered=False), other(5, 60, here=False), other(6, 60),
    )  # fmt: skip
    case = SimpleNamespace(task=task, others=others, bounds=BOUNDS)
    assert [(one.cluster, one.step) for one in yardsticks_of(case, 60, {6})] == [(1, 60), (3, 60)]
    assert [(one.cluster, one.step) for one in yardsticks_of(case, STEPS, set())] == [(2, None)]


def test_no_expert_that_came_much_less_far_is_a_yardstick():
    """A finished expert that has learned its pictures by heart may be behind an early leg of another."""
    others = tuple(other(cluster, step) for cluster, step in ((1, 79), (2, 80), (3, 100)))
    case = SimpleNamespace(task=World(Path(), "", "").task(0), others=others, bounds=BOUNDS)
    assert [(one.cluster, one.step) for one in yardsticks_of(case, 100, set())] == [(2, 80), (3, 100)]
    any_step = BOUNDS.model_copy(update={"min_peer_steps": 0.0})
    case.bounds = any_step
    assert len(yardsticks_of(case, 100, set())) == 3


def curve(cluster: int, loss: float) -> StoredCurve:
    points = (ScoredPoint(step=3, training_loss=loss, heldout={cluster: (1.0,)}),)
    return StoredCurve(made_of="c" * 64, curve=ReferenceCurve(cluster=cluster, points=points))


def test_a_curve_takes_the_place_of_an_earlier_one_of_its_cluster_and_is_private(tmp_path):
    run = SimpleNamespace(reference=tmp_path / "reference.json", path=tmp_path)
    assert read_reference(run) == {}
    for stored in (curve(2, 1.0), curve(0, 1.0), curve(2, 0.5)):
        save_curve(run, stored)
    assert read_reference(run) == {0: curve(0, 1.0), 2: curve(2, 0.5)}
    assert run.reference.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "error"),
    [("[]", RunDirError), ("{", RunDirError), ('{"curves": 5}', RunDirError), ('{"format": 99}', NewerFileError)],
)
def test_a_damaged_reference_and_one_of_a_newer_version_are_named_and_left_alone(tmp_path, content, error):
    run = SimpleNamespace(reference=tmp_path / "reference.json", path=tmp_path)
    run.reference.write_text(content)
    with pytest.raises(error, match=r"reference\.json"):
        save_curve(run, curve(0, 1.0))
    assert run.reference.read_text() == content


def test_a_reference_is_known_by_all_that_decides_its_weights_and_by_nothing_else(tmp_path):
    """The form of the digest is fixed: another one would have every stored reference trained again."""
    made = create_run(tmp_path / "run", recipe=str(TINY))
    run, parts = made, {"kind": "vocabulary", "dim": 8}
    (run.data / "manifests").mkdir(parents=True)
    manifests = [
        Manifest(
            k, run.config.hub.data_repo, "0" * 40, (Shard(path=f"{k}.parquet", sha256=f"{k:064x}", bytes=9, rows=3),)
        )
        for k in range(run.config.run.num_experts)
    ]
    for manifest in manifests:
        listed = {"shards": [shard.model_dump() for shard in manifest.shards]}
        (run.data / "manifests" / f"cluster-{manifest.cluster:03d}.json").write_text(json.dumps(listed))
    (run.data / "prepared.json").write_text(json.dumps({"text": parts}))
    config = run.config
    settings = {
        "steps": config.tasks.steps,
        "seed": config.run.seed,
        "model": {"preset": config.model.preset, "overrides": config.model.overrides},
        "training": {
            name: value
            for name, value in config.expert_training.items()
            if name not in ("snapshot_every", "micro_batch_size")
        },
        "objective": config.objectives.for_cluster(1),
        "text": {**config.text, **parts},
        "codec": config.codec,
        "data": manifests[1].sha256,
        "start": None,
    }
    assert made_of(run, 1) == hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    assert made_of(run, 0) != made_of(run, 1)
