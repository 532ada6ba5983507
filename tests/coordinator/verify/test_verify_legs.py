"""Legs on the ladder: honest ones pass, and each lie about the stretch, the chain or the state has its check."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save
from verify_attempt import figures
from verify_legs import LEG, LegAttempt, head_record, secret_for, sha256, train_leg
from verify_world import MODEL, STEPS, TRAINING

from paris.coordinator.verify.ladder import verify
from paris.coordinator.verify.report import CheckFailed, Checks
from paris.coordinator.verify.state_files import check_state
from paris.coordinator.verify.tensor_reads import open_trusted
from paris.experts.models.model import DiTExpert
from paris.experts.training.adamw import moment_shapes
from paris.experts.training.commitments import commitment_of
from paris.experts.training.config import TrainingConfig
from paris.experts.training.state import TrainState
from paris.protocol.draws import Stretch
from paris.protocol.hub_layout import OPTIMIZER_FILE, TRAINED_FILE, WEIGHTS_FILE


@pytest.fixture(scope="module")
def legs(world):
    """The three legs of an expert."""
    first = train_leg(world, 0, LEG)
    second = train_leg(world, 0, 2 * LEG, first)
    return first, second, train_leg(world, 0, STEPS, second)


def test_each_leg_of_an_expert_passes_and_the_last_brings_no_state(world, legs):
    for leg in legs:
        report = LegAttempt.of(world, 0, leg).judge()
        assert report.accepted, f"{report.reason}\n{figures(report)}"
        assert report.local_path.read_bytes() == leg.file("ema")
        kept = sorted(path.name for path in report.local_path.parent.iterdir())
        whole = ["expert.safetensors", "optimizer.safetensors", "weights.safetensors"]
        assert kept == (whole[:1] if leg is legs[2] else whole)
        assert (report.local_path.parents[1] / "chain.json").read_bytes() == leg.chain().to_bytes()


def test_work_that_is_handed_in_early_passes_and_so_does_work_beyond_a_head_that_moved(world, legs):
    early = replace(legs[0], links=legs[0].links[:1])
    report = LegAttempt.of(world, 0, early).judge()
    assert report.accepted, report.reason
    beyond = LegAttempt.of(world, 0, legs[0])
    beyond.task = world.task(0, head=head_record(early.end))
    report = beyond.judge()
    assert report.accepted, report.reason


def other_chain(leg, **changes):
    return leg.chain().model_copy(update=changes).to_bytes()


def refused(attempt, check: str, **changes) -> None:
    report = attempt.judge(**changes)
    assert not report.accepted
    assert report.reason.startswith(check), report.reason


def test_a_chain_that_is_not_that_of_the_leg_is_refused(world, legs):
    leg, chain = legs[1], legs[1].chain()
    honest = LegAttempt.of(world, 0, leg)
    (one, two), other = chain.links, "a" * 64
    forged = two.model_copy(update={"files": two.files.model_copy(update={"weights": other})})
    for check, data in {
        "envelope/chain:": b'{"format": 1}',
        "envelope/chain-task": other_chain(leg, task=other),
        "envelope/chain-start": other_chain(leg, start=chain.start.model_copy(update={"commitment": other})),
        "envelope/chain-steps": other_chain(leg, links=(two,)),
        "envelope/chain-links": other_chain(leg, links=(one, forged)),
    }.items():
        refused(honest.with_file("chain.json", data), check)
    ends_elsewhere = LegAttempt.of(world, 0, leg)
    ends_elsewhere.commitment = other
    refused(ends_elsewhere, "envelope/chain-end")
    ema = LegAttempt.of(world, 0, leg)
    ema.weights = legs[0].file("ema")
    refused(ema, "envelope/chain-files")


def test_a_leg_beside_a_head_that_moved_is_not_needed_and_that_is_no_fault_also_after_a_challenge(world, legs):
    attempt = LegAttempt.of(world, 0, legs[0])
    other_head = head_record(legs[0].links[0]).model_copy(update={"commitment": "a" * 64})
    moved = world.task(0, head=other_head)
    case = attempt.case(draw_secret=secret_for(legs[0], Stretch(20, 40)), replay_rate=1.0)
    asked = verify(case, lambda line: None)
    assert asked.needs == (20,)
    for earlier, rungs in ((None, asked.rungs[:1]), (asked, asked.rungs)):
        report = verify(case.model_copy(update={"task": moved, "earlier": earlier}), lambda line: None)
        assert report.reason.startswith("Other work was verified up to step 20 meanwhile")
        assert not report.accepted
        assert not report.needs
        assert [(rung.name, rung.passed) for rung in report.rungs] == [(rung.name, True) for rung in rungs]


def test_steps_outside_the_lease_and_missing_files_are_refused_before_a_byte_is_fetched(world, legs):
    shorter = LegAttempt.of(world, 0, legs[0], to_step=LEG // 2)
    refused(shorter, "envelope/steps")
    odd = LegAttempt.of(world, 0, legs[0])
    refused(replace(odd, facts={"steps": LEG - 1}), "envelope/scheduled")
    refused(replace(odd, facts={"start_step": 20}), "envelope/start-step")
    refused(replace(odd, facts={"start_step": None}), "envelope/start-step")
    without = {path: data for path, data in odd.files.items() if "optimizer" not in path}
    refused(replace(odd, files=without), "envelope/undeclared-files")
    refused(odd, "envelope/no-leg", leg=None, lease=odd.lease.model_copy(update={"start_step": None, "to_step": None}))
    assert not (world.folder / "verify" / odd.lease.lease_id / "candidate").exists()


def with_state(attempt, leg, name: str, data: bytes):
    """The attempt with another file of the state, in its chain too: a lie that the digests do not show."""
    *before, last = leg.chain().links
    files = last.files.model_copy(update={name: sha256(data)})
    commitment = commitment_of(before[-1].commitment, leg.task, last.step, files.model_dump())
    link = last.model_copy(update={"files": files, "commitment": commitment})
    chained = attempt.with_file(f"{name}.safetensors", data)
    chained = chained.with_file("chain.json", other_chain(leg, links=(*before, link)))
    chained.commitment = commitment
    return chained


def test_a_state_that_nobody_could_resume_from_is_refused(world, legs):
    leg, attempt = legs[0], LegAttempt.of(world, 0, legs[0])
    weights, moments = load(leg.file("weights")), load(leg.file("optimizer"))
    name = next(iter(weights))
    broken = {**weights, name: torch.full_like(weights[name], float("nan"))}
    refused(with_state(attempt, leg, "weights", save(broken)), "structure/state-finite")
    half = {key: value.half() for key, value in weights.items()}
    refused(with_state(attempt, leg, "weights", save(half)), "structure/state-shapes")
    missing = dict(list(moments.items())[1:])
    refused(with_state(attempt, leg, "optimizer", save(missing)), "structure/state-tensors")
    infinite = {**moments, (moment := next(iter(moments))): torch.full_like(moments[moment], float("inf"))}
    refused(with_state(attempt, leg, "optimizer", save(infinite)), "structure/state-finite")


@pytest.mark.parametrize(
    ("state", "is_sound"),
    [
        ([2.0**14, 0.0], True),
        ([1.0, 999.0], True),
        ([2.0**24, 5.0], True),
        ([0.0, 0.0], False),
        ([0.5, 0.0], False),
        ([2.0**25, 0.0], False),
        ([3.0, 0.0], False),
        ([float("nan"), 0.0], False),
        ([float("inf"), 0.0], False),
        ([2.0, -1.0], False),
        ([2.0, 0.5], False),
        ([2.0, 1000.0], False),
    ],
)
def test_a_loss_scale_that_no_training_reaches_is_refused(world, legs, state, is_sound):
    leg, case = legs[0], LegAttempt.of(world, 0, legs[0]).case()
    run = case.run.model_copy(update={"training": {**case.run.training, "precision": "float16"}})
    case, checks = case.model_copy(update={"run": run}), Checks()
    moments = save({**load(leg.file("optimizer")), "loss_scale": torch.tensor(state)})
    contents = {TRAINED_FILE: leg.file("weights"), WEIGHTS_FILE: leg.file("ema"), OPTIMIZER_FILE: moments}
    for name, data in contents.items():
        case.file(name).parent.mkdir(parents=True, exist_ok=True)
        case.file(name).write_bytes(data)
    ema = open_trusted(case.file(WEIGHTS_FILE), case.bounds)
    with nullcontext() if is_sound else pytest.raises(CheckFailed):
        check_state(case, MODEL, ema, leg.end.step, checks)
    last = checks.made[-1]
    assert (last.name, last.passed) == ("state-loss-scale", is_sound)


@pytest.mark.parametrize("moments", ["float32", "8bit"])
def test_the_expected_moments_are_those_that_a_training_has(moments):
    if moments == "8bit":
        pytest.importorskip("bitsandbytes")
    config = TrainingConfig.from_settings({**TRAINING.to_settings(), "moments": moments})
    model = DiTExpert(MODEL)
    specs = TrainState(model, config).specs()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert moment_shapes(shapes, moments) == specs["optimizer"]


def test_a_leg_with_a_compact_state_passes_every_rung_and_so_does_the_next_one(world):
    first = train_leg(world, 0, LEG, state="compact")
    for leg in (first, train_leg(world, 0, STEPS, first, state="compact")):
        report = LegAttempt.of(world, 0, leg, to_step=STEPS).judge(draw_secret="00" * 32, replay_rate=0.0)
        assert report.accepted, f"{report.reason}\n{figures(report)}"
    report = LegAttempt.of(world, 0, first).judge(draw_secret="00" * 32, replay_rate=0.0)
    assert report.rungs[-1].remarks == ("steps 0 to 20: equal in every bit",)


def test_a_state_of_the_other_form_is_refused(world, legs):
    compact = train_leg(world, 0, LEG, state="compact")
    attempt = LegAttempt.of(world, 0, compact)
    refused(with_state(attempt, compact, "weights", legs[0].file("weights")), "envelope/declared-size")
    attempt = LegAttempt.of(world, 0, legs[0])
    refused(with_state(attempt, legs[0], "optimizer", compact.file("optimizer")), "structure/state-tensors")
