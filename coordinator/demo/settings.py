"""The run of a demo on the user's own pictures, from its budget: settings, their reasons, and what to expect. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from paris.coordinator.demo.budget import GRID_SEEDS, LEAST_ROWS, MOST_PASSES, SAMPLING_STEPS, Budget, Facts
from paris.coordinator.demo.shapes import ROUTER_BATCH, ROUTER_PRESET, shapes_for
from paris.coordinator.demo.speed import MachineSpeed
from paris.coordinator.planning import networks
from paris.coordinator.prepare.config import PrepareConfig
from paris.coordinator.prepare.errors import PrepareConfigError, TooFewRowsError
from paris.coordinator.proposal.choices import Reason, propose
from paris.coordinator.proposal.errors import UndecidedError
from paris.coordinator.proposal.findings import Survey
from paris.coordinator.proposal.picture_choices import choose_filters, kept_share
from paris.coordinator.proposal.sizing import side_for
from paris.coordinator.proposal.undecided import caption_kind, row_licence
from paris.coordinator.proposal.wishes import Reasons, Wishes
from paris.coordinator.run.config import RunConfig
from paris.protocol.counted import counted

_LEAST_SIDE_PX = 16
_DEADLINE_S = 6 * 3600.0
_MIN_ROWS = 8
"""Training pictures of an expert: of 20, held-out rows, near duplicates and balancing may leave so few."""
_BY_HEART_PASSES = 200
_FEW_PASSES, _FEW_STEPS = 0.5, 1000
"""Share of the wanted passes, and steps, below which the pictures stay noisy."""


@dataclass(frozen=True)
class OwnPictures:
    """What is known of the user's pictures before the machine is measured."""

    survey: Survey
    wishes: Wishes
    """Captions and licence, where they had to be decided."""
    side_px: int
    """The largest side of a model that nine in ten pictures reach."""
    rows: int
    """Pictures that can be used."""
    notes: tuple[Reason, ...] = ()
    """What was decided."""


def own_pictures(survey: Survey) -> OwnPictures:
    """Decide what `paris-coord init` would ask for.

    Raises:
        TooFewRowsError: Fewer than 40 pictures can be used.
        PrepareConfigError: The pictures are smaller than 16 px.
    """
    wishes, notes = Wishes(), []
    try:
        kind = caption_kind(survey, wishes)
    except UndecidedError:
        kind, wishes = "none", replace(wishes, captions="none")
        notes.append(Reason("text.kind", "none", "No caption or class was found: the experts learn without text."))
    try:
        row_licence(survey, wishes)
    except UndecidedError:
        wishes = replace(wishes, licence="unknown")
        why = "Nothing states one. The demo stays on this machine; publish nothing of it."
        notes.append(Reason("run.licence", "unknown", why))
    side_px = side_for(survey.pictures)
    if side_px < _LEAST_SIDE_PX:
        raise PrepareConfigError(
            f"The pictures of {survey.place} are too small: nine in ten should reach {_LEAST_SIDE_PX} px, the median "
            f"of the shorter sides is {survey.pictures.side_at(0.5)} px.",
            "Give larger pictures.",
        )
    rows = _kept_rows(survey, kind, _largest_px(side_px))
    if rows < 2 * LEAST_ROWS:
        raise TooFewRowsError(
            f"{survey.place} has {rows} pictures that can be used; two experts of {LEAST_ROWS} need {2 * LEAST_ROWS}.",
            "Add pictures. Copies, near copies, and those that are too small or too long are not counted.",
        )
    return OwnPictures(survey, wishes, side_px, rows, tuple(notes))


def _largest_px(side_px: int) -> int:
    """The largest side of a model for pictures of this side, px."""
    return shapes_for(side_px)[-1].image_size


def _kept_rows(survey: Survey, kind: str, side_px: int) -> int:
    """Pictures that `prepare` can be expected to keep, by the filters of `propose` at the largest side of a model."""
    filters = choose_filters(survey.pictures, side_px, Reasons())
    return math.floor(survey.listed_with(kind) * kept_share(survey.pictures, filters))


def facts_of(own: OwnPictures, decode_s: float) -> Facts:
    """What the budget depends on.

    Args:
        own: The pictures.
        decode_s: To read and decode one of them.
    """
    config = propose(own.survey, replace(own.wishes, experts=2, size=_largest_px(own.side_px))).config
    embedder = str(config.data.get("embedder", PrepareConfig().embedder))
    return Facts(
        rows=own.rows,
        captions=0 if config.text["kind"] == "none" else own.survey.captions.distinct,
        text=config.text,
        decode_s=decode_s,
        embed_flops=networks.embedder(embedder).flops,
    )


LENIENT_BOUNDS = {
    "min_gain": 0.03,
    "min_spectral_distance": 0.02,
    "min_peer_gain_share": 0.1,
    "max_foreign_advantage": 1.0,
    "min_ahead": -1.0,
    "min_identity": -1.0,
    "min_identity_share": 0.0,
    "max_claim_ratio": 5.0,
}
"""Of verification: the demo's volunteers are its own, but few pictures, alike ones, make experts that are alike."""


def settings(own: OwnPictures, budget: Budget, machine: MachineSpeed) -> RunConfig:
    """run.toml of the demo.

    Raises:
        ParisError: As `propose`.
    """
    shape, experts = budget.shape, budget.num_experts
    wishes = replace(own.wishes, size=shape.image_size, experts=experts, max_rows=budget.num_rows)
    values = propose(own.survey, wishes).config.model_dump(mode="json", exclude_none=True)
    values["model"] = {"preset": shape.preset, "overrides": shape.model_overrides}
    values["training"] |= {
        "total_batch_size": experts * shape.batch_size,
        "learning_rate": shape.learning_rate,
        "warmup_steps": min(100, budget.steps // 10),
        "ema_decay": round(1 - 1 / max(20.0, min(1000.0, budget.steps / 6)), 5),
        "snapshot_every": max(20, min(1000, budget.steps // 8)),
    }
    values["tasks"] |= {"steps": budget.steps, "deadline_s": _DEADLINE_S, "grace_s": 600.0, "tick_every_s": 0.5}
    values["tasks"] |= {"heartbeat_every_s": 2.0, "min_rows": _MIN_ROWS, "want_work_bits": 0}
    values["router"] = {
        "preset": ROUTER_PRESET,
        "overrides": shape.router_overrides,
        "steps": budget.router_steps,
        "batch_size": ROUTER_BATCH,
        "learning_rate": 1e-3,
        "train_after": experts,
    }
    values["verify"] = LENIENT_BOUNDS
    values["compute"] = {"device": machine.device, "num_threads": machine.num_threads}
    values["sampling"] |= {
        "num_steps": SAMPLING_STEPS,
        "prompts": [],  # the report chooses among the captions of the pictures that were drawn
        "seeds": list(range(GRID_SEEDS)),
    }
    return RunConfig.model_validate(values)


def reasons(own: OwnPictures, facts: Facts, budget: Budget, machine: MachineSpeed) -> tuple[Reason, ...]:
    """Each choice and why."""
    shape = budget.shape
    why_rows = f"All {facts.rows}" if budget.num_rows == facts.rows else f"Of {facts.rows}, drawn by the seed"
    kind = "captions of their own" if facts.has_own_captions else "captions that many share"
    kind = kind if facts.captions else "pictures without captions"
    return (
        Reason(
            "device",
            machine.device,
            f"{counted(budget.num_workers, 'volunteer')}, {_threads(machine.num_threads)} each.",
        ),
        Reason("pictures", str(budget.num_rows), f"{why_rows}; {kind} are learned in about {facts.passes} passes."),
        Reason("size", f"{shape.image_size} px", f"Nine in ten pictures reach {own.side_px} px; larger takes longer."),
        Reason("experts", str(budget.num_experts), f"{budget.num_rows // budget.num_experts} pictures each."),
        Reason("model", shape.preset, f"A step of {shape.batch_size} rows takes {1000 * budget.step_s:.0f} ms here."),
        Reason("steps", str(budget.steps), f"{budget.passes:.0f} passes over each picture{_enough(budget)}."),
        Reason("router steps", str(budget.router_steps), _router_share(budget, machine)),
        Reason("samples", str(budget.samples), "That the report draws and compares, beside its grid."),
        *own.notes,
    )


def volunteers_note(wished: int | None, given: int) -> tuple[Reason, ...]:
    """That there are fewer volunteers than the user asked for.

    Args:
        wished: None if the user did not ask.
        given: Volunteers of the demo.
    """
    if wished is None or wished <= given:
        return ()
    return (Reason("volunteers", str(given), f"You asked for {wished}; more than one for each expert would idle."),)


def load_note(load: float, cores: int) -> tuple[Reason, ...]:
    """A word of warning where other programs keep all cores busy.

    Args:
        load: Processes that compute, mean of the last minute, before the demo computes.
        cores: Of the machine.
    """
    if load < cores:
        return ()
    why = "Other programs compute too: the demo may take longer than predicted, or less if they end."
    return (Reason("load", f"{load:.0f} on {cores} cores", why),)


def expectation(facts: Facts, budget: Budget) -> str:
    """What a model of this size and training can be expected to do, a few sentences."""
    size, rows = budget.shape.image_size, budget.num_rows
    if budget.passes < _FEW_PASSES * facts.passes or budget.steps < _FEW_STEPS:
        return (
            f"Expect colours and rough outlines at {size} px, with noise: {budget.steps} steps are few. More minutes "
            "make them cleaner."
        )
    prompts = " Prompt it in the words of your captions; it does not combine them freely." if facts.captions else ""
    if budget.passes >= _BY_HEART_PASSES:
        return (
            f"Expect {size} px pictures close to those it saw: a model this small learns {rows} pictures mostly by "
            f"heart.{prompts}"
        )
    what = "show what the caption names" if facts.captions else "resemble yours in kind"
    return f"Expect {size} px pictures that {what}, without fine detail, and less varied than the real ones.{prompts}"


def _router_share(budget: Budget, machine: MachineSpeed) -> str:
    """How much of the training's time the router takes, in words."""
    step_s = machine.router_step_s(budget.shape.router(budget.num_experts), ROUTER_BATCH)
    router_s = budget.router_steps * step_s
    experts_s = math.ceil(budget.num_experts / budget.num_workers) * budget.steps * budget.step_s
    return f"{router_s / (router_s + experts_s):.0%} of the time of training."


def _enough(budget: Budget) -> str:
    return "; more would only repeat them" if budget.passes >= MOST_PASSES else ""


def _threads(count: int) -> str:
    return "one CPU thread" if count == 1 else f"{count} CPU threads"
