"""The plan, and the table of recipes, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from paris.coordinator.planning.plan import CardPlan, LanesPlan, Plan
from paris.coordinator.planning.recipes import RecipeRow
from paris.coordinator.planning.words import duration, gpu_time, size
from paris.protocol.counted import counted

_FILE_WIDTH = 120
_ENDLESS_WIDTH = 10_000
_RECIPES_WIDTH = 110
"""Characters that the table of recipes needs."""


def print_plan(plan: Plan, out: IO[str]) -> None:
    """Write a plan to a terminal, as wide as that is, or to a file."""
    console = _console(out)
    console.print(Group(*_parts(plan, console)))


def print_recipes(rows: Sequence[RecipeRow], out: IO[str]) -> None:
    """Write the table of recipes; a list where the table is too wide."""
    console, table = _console(out), Table(show_lines=True)
    table.add_column("recipe", no_wrap=True)
    for name in ("what", "pictures", "px", "K", "parameters", "hardware", "training of all experts, estimated"):
        is_number = name in ("pictures", "px", "K", "parameters")
        table.add_column(name, justify="right" if is_number else "left", no_wrap=is_number, overflow="fold")
    for row in rows:
        numbers = (f"{row.pictures:,}", str(row.image_size), str(row.num_experts))
        table.add_row(*map(Text, (row.name, row.what, *numbers, _parameters(row), row.hardware, row.cost)))
    fits = console.width >= _RECIPES_WIDTH
    console.print(table if fits else Group(*(part for row in rows for part in _recipe_in_lines(row))))


def _recipe_in_lines(row: RecipeRow) -> Iterable[RenderableType]:
    yield Text(row.name, style="bold")
    numbers = (
        f"{row.pictures:,} pictures of {row.image_size} px; {counted(row.num_experts, 'expert')} of {_parameters(row)}"
    )
    for line in (row.what, f"{numbers} parameters", f"made for {row.hardware}", f"all experts, estimated: {row.cost}"):
        yield Padding(Text(line), (0, 0, 0, 4))


def _parameters(row: RecipeRow) -> str:
    return f"{row.expert_parameters / 1e6:.3g}M"


def _console(out: IO[str]) -> Console:
    return Console(file=out, width=None if out.isatty() else _FILE_WIDTH, highlight=False)


def _parts(plan: Plan, console: Console) -> Iterable[RenderableType]:
    yield _summary(plan)
    yield from _card_tables(plan, console)
    if any(card.checks for card in plan.cards):
        yield from _checks_tables(plan, console)
    if plan.lanes is not None:
        yield _lanes_in_words(plan.lanes)
    yield _bytes_table(plan)
    for problem in plan.problems:
        sign = "CANNOT WORK" if problem.refuses else "Warning"
        yield Text(f"{sign}: {problem.setting} = {problem.value}: {problem.what}. {problem.next_step}")
    yield Text("Assumed: " + " ".join(plan.assumptions))


def _summary(plan: Plan) -> Text:
    rows = f"{min(plan.rows):,} to {max(plan.rows):,}" if min(plan.rows) != max(plan.rows) else f"{plan.rows[0]:,}"
    return Text(
        f"{plan.run}: {counted(plan.num_experts, 'expert')} of {plan.expert_parameters / 1e6:.3g}M parameters, "
        f"{plan.steps:,} steps of {plan.batch_size} rows each ({plan.expert_flops / 1e12:,.3g} TFLOP an expert, "
        f"each picture seen {plan.epochs:,.3g} times); {plan.pictures:,} pictures, {rows} training rows an expert."
    )


def _card_tables(plan: Plan, console: Console) -> list[Table]:
    has_legs = plan.volunteer.leg_steps is not None
    has_warm_start = any(card.warm_start_s for card in plan.cards)
    names = [
        "rows together",
        "one expert",
        *(["one leg"] if has_legs else []),
        "all experts, GPU time",
        f"with {plan.volunteers}",
        "router",
        "verification of one",
        "prepare",
        *(["warm start"] if has_warm_start else []),
    ]
    columns = [
        (_title(card), _cells(card, has_legs=has_legs) + ([_time(card.warm_start_s)] if has_warm_start else []))
        for card in plan.cards
    ]
    return _by_card(f"By card, {counted(plan.volunteers, 'volunteer')} at once", names, columns, console)


def _title(card: CardPlan) -> str:
    return card.name + (" *" if card.is_measured else "")


def _by_card(
    title: str, names: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]], console: Console
) -> list[Table]:
    """Tables with a column for each card, as many side by side as are whole on the console; the first has the title."""
    unbounded = console.options.update(max_width=_ENDLESS_WIDTH)
    tables: list[Table] = []
    while columns:
        count = len(columns)
        while (
            count > 1
            and console.measure(_side_by_side(names, columns[:count]), options=unbounded).maximum > console.width
        ):
            count -= 1
        tables.append(_side_by_side(names, columns[:count]))
        columns = columns[count:]
    for table in tables[:1]:
        table.title = title
    return tables


def _side_by_side(names: Sequence[str], columns: Sequence[tuple[str, Sequence[str]]]) -> Table:
    table = Table("card")
    for card, _ in columns:
        table.add_column(Text(card), justify="right")
    for name, *cells in zip(names, *(cells for _, cells in columns), strict=True):
        table.add_row(name, *map(Text, cells))
    return table


def _cells(card: CardPlan, *, has_legs: bool) -> list[str]:
    rows = card.obstacle or f"{card.rows_together}" + (", checkpointing" if card.checkpointing else "")
    gpu = "" if card.experts_s is None else gpu_time(card.experts_s)
    rest = (card.all_s, card.router_s, card.verification_s, card.prepare_s)
    return [rows, _time(card.expert_s), *([_time(card.leg_s)] if has_legs else []), gpu, *map(_time, rest)]


def _time(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _checks_tables(plan: Plan, console: Console) -> list[Table]:
    """Of cards that can train."""
    whose = {"organiser": "replays, on your machine", "volunteers": "audits, by volunteers", None: "replays: off"}
    names = ("legs", "stretches a leg", "trained again", "of all steps", whose[plan.replays_by])
    columns = []
    for card in plan.cards:
        if (checks := card.checks) is None:
            continue
        counts = (f"{checks.legs:,}", str(checks.stretches_a_leg), f"{checks.replays:,.0f} stretches")
        hours = (f"{checks.replayed_share:.2%}", duration(checks.replays_s), duration(checks.verifications_s))
        columns.append((_title(card), (*counts, *hours)))
    title = f"Verification of all legs, by card, with {plan.volunteers} honest volunteers"
    return _by_card(title, (*names, "rungs 1 to 4, on your machine"), columns, console)


def _lanes_in_words(lanes: LanesPlan) -> Text:
    if not lanes.further:
        return Text("Lanes: one an expert, with no more volunteers than experts.")
    return Text(
        f"Lanes: {lanes.further} beyond the experts' own, {lanes.further_steps:,} steps in all; {lanes.rounds:,} "
        f"rounds an expert, {lanes.means:,} means in all, for which your machine fetches "
        f"{size(lanes.fetched_bytes)} and sends {size(lanes.sent_bytes)}."
    )


def _bytes_table(plan: Plan) -> Table:
    volunteer, organiser = plan.volunteer, plan.organiser
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for what, number in (
        ("a volunteer: memory, at least", volunteer.memory_bytes),
        ("a volunteer: memory for the whole batch at once", volunteer.whole_batch_memory_bytes),
        ("a volunteer: disk", volunteer.disk_bytes),
        ("a volunteer: fetches", volunteer.down_bytes),
        ("a volunteer: sends", volunteer.up_bytes),
        *_leg_rows(plan),
        ("a volunteer: records and heartbeats, an hour", volunteer.control_bytes_per_hour),
        ("Hub: data repo", organiser.data_repo_bytes),
        ("Hub: model repo", organiser.model_repo_bytes),
        ("Hub: sends to volunteers, without sharing", organiser.hub_sends_bytes),
        ("organiser: run directory", organiser.disk_bytes),
        ("organiser: disk during prepare", organiser.prepare_disk_bytes),
        ("organiser: memory of prepare", organiser.prepare_memory_bytes),
    ):
        table.add_row(what, size(number))
    return table


def _leg_rows(plan: Plan) -> list[tuple[str, int]]:
    """Bytes of a leg, in a run of legs."""
    steps = plan.volunteer.leg_steps
    if steps is None:
        return []
    what = f"a leg, usually of {steps:,} steps: the state that it"
    return [(f"{what} fetches", plan.volunteer.leg_bytes), (f"{what} sends", plan.volunteer.leg_bytes)]
