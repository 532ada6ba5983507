"""Settings that cannot work, and warnings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.needs import computed_needs
from paris.coordinator.planning.plan import CardPlan, Problem
from paris.coordinator.planning.words import duration, size
from paris.coordinator.run.stretches import STRETCHES_A_LEG

_FEW_ROWS = 200
_LONG_VERIFICATION_S = 6 * 3600.0
_DEAR_REPLAYS = 0.01
"""Of all steps."""


def problems_of(facts: Facts, cards: Sequence[CardPlan], verification_s: float) -> list[Problem]:
    """All problems of a plan, those that are refused first.

    Args:
        facts: The run.
        cards: Its work on each card, the commonest first.
        verification_s: Of one submission, on the organiser's machine.
    """
    found = [*_rows(facts), *_batch(facts), *_memory(facts, cards), *_deadline(facts, cards)]
    found += [*_verification(facts, verification_s), *_replays(facts, cards)]
    return sorted(found, key=lambda problem: not problem.refuses)


def _rows(facts: Facts) -> Iterator[Problem]:
    rows, wanted, experts = min(facts.data.rows, default=0), facts.config.tasks.min_rows, facts.config.run.num_experts
    if rows < wanted:
        yield Problem(
            setting="[run] num_experts",
            value=str(experts),
            what=f"an expert has only {rows} training pictures, fewer than {wanted}",
            next_step="Take fewer experts or more pictures; or set min_rows in [tasks].",
            refuses=True,
        )
    elif rows < _FEW_ROWS:
        yield Problem(
            setting="[run] num_experts",
            value=str(experts),
            what=f"an expert has only {rows} training pictures, and will learn them by heart",
            next_step="Some hundred are the least for new pictures: take fewer experts, or more pictures.",
            refuses=False,
        )


def _batch(facts: Facts) -> Iterator[Problem]:
    given, rows = facts.config.expert_training["batch_size"], min(facts.data.rows, default=0)
    if type(given) is not int or given < 1:
        yield Problem(
            setting="[training] batch_size",
            value=repr(given),
            what="an expert's step has no whole number of rows",
            next_step="Set batch_size to 1 or more, or total_batch_size to a multiple of the experts.",
            refuses=True,
        )
    elif given > rows > 0:
        yield Problem(
            setting="[training] batch_size",
            value=str(given),
            what=f"a step holds more rows than the smallest cluster's {rows}, so some come twice",
            next_step="Take a smaller batch, fewer experts, or more pictures.",
            refuses=False,
        )


def _memory(facts: Facts, cards: Sequence[CardPlan]) -> Iterator[Problem]:
    needed, asked = computed_needs(facts.config, facts.text).memory_bytes, facts.config.tasks.min_memory_bytes
    least = needed if asked is None else max(needed, asked)
    largest = max(cards, key=lambda card: card.memory_bytes)
    if least > largest.memory_bytes:
        yield Problem(
            setting="[model] preset" if asked is None or asked < needed else "[tasks] min_memory_bytes",
            value=facts.config.model.preset if asked is None or asked < needed else str(asked),
            what=f"a task needs {size(least)} of memory, more than the largest card, {largest.name}, has",
            next_step="Take a smaller model or 8-bit moments, or a lower min_memory_bytes.",
            refuses=True,
        )
    if asked is not None and asked < needed:
        yield Problem(
            setting="[tasks] min_memory_bytes",
            value=str(asked),
            what=f"a task needs {size(needed)} at least, so smaller machines would take it and fail",
            next_step="Remove min_memory_bytes: it is then computed.",
            refuses=False,
        )


def _deadline(facts: Facts, cards: Sequence[CardPlan]) -> Iterator[Problem]:
    able = [(card, card.expert_s) for card in cards if card.expert_s is not None]
    if not able:
        return
    deadline_s = facts.config.tasks.deadline_s
    fastest, least_s = min(able, key=lambda pair: pair[1])
    commonest, usual_s = next((pair for pair in able if not pair[0].is_measured), able[0])
    if deadline_s < least_s:
        what, refuses = f"the work takes {duration(least_s)} on the fastest card, {fastest.name}", True
    elif deadline_s < usual_s:
        what, refuses = f"the work takes {duration(usual_s)} on the commonest card for it, {commonest.name}", False
    else:
        return
    yield Problem(
        setting="[tasks] deadline_s",
        value=f"{deadline_s:g}",
        what=what,
        next_step="Set it to three to five times the work on the slowest card that you want, or take fewer steps.",
        refuses=refuses,
    )


def _verification(facts: Facts, verification_s: float) -> Iterator[Problem]:
    if verification_s > _LONG_VERIFICATION_S:
        yield Problem(
            setting="[compute] device",
            value=facts.config.compute.device,
            what=f"the verification of one submission takes about {duration(verification_s)} there",
            next_step="Verify on a GPU, or lower heldout_rows or heldout_draws in [verify].",
            refuses=False,
        )


def _replays(facts: Facts, cards: Sequence[CardPlan]) -> Iterator[Problem]:
    """Steps that are trained again, on the commonest card that can train; a plan's table has those of each."""
    name, checks = next(((card.name, card.checks) for card in cards if card.checks is not None), ("", None))
    if checks is None or checks.replayed_share <= _DEAR_REPLAYS:
        return
    every, stretches = facts.config.snapshot_every, checks.stretches_a_leg
    finer = max(1, every * stretches // STRETCHES_A_LEG)
    more = f"Set it to {finer}: a leg then has {STRETCHES_A_LEG}, and volunteers keep as many states until its verdict."
    yield Problem(
        setting="[training] snapshot_every",
        value=str(every),
        what=f"{checks.replayed_share:.1%} of all steps are trained again, with {stretches} stretches a leg on {name}",
        next_step=more
        if finer < every
        else "Let it be, or lower replay_rate in [verify]: new volunteers are replayed most, and each does few legs.",
        refuses=False,
    )
