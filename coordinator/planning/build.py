"""From facts to a plan."""

from __future__ import annotations

from collections.abc import Sequence

from paris.coordinator.planning.by_card import PREPARE_ROWS_PER_S, Machine, on_card
from paris.coordinator.planning.cards import load_cards
from paris.coordinator.planning.checking import lanes_plan, replays_by
from paris.coordinator.planning.facts import Facts
from paris.coordinator.planning.measured import MeasuredDevice
from paris.coordinator.planning.plan import Plan
from paris.coordinator.planning.problems import problems_of
from paris.coordinator.planning.speed import Speed
from paris.coordinator.planning.volume import organiser_plan, volunteer_plan
from paris.coordinator.planning.work import work_of
from paris.experts.training.needs import num_parameters, num_router_parameters

_CPU_FLOPS_PER_S = 100e9
_CPU_MEMORY_BYTES = 2**36


def make_plan(facts: Facts, devices: Sequence[MeasuredDevice] = (), volunteers: int | None = None) -> Plan:
    """Make the plan of a run.

    Args:
        facts: The run.
        devices: Devices whose speed was measured.
        volunteers: Volunteers at once; None: one for each expert, or for each of its lanes.
    """
    config, work = facts.config, work_of(facts)
    experts = config.run.num_experts
    volunteers = volunteers or experts * config.tasks.lanes
    machines = [*map(measured_machine, devices), *listed_machines(facts.precision)]
    cards = [on_card(machine, facts, work, volunteers) for machine in machines]
    verification_s = work.verification / _organiser_speed(facts, devices).flops_per_s
    seen = config.tasks.steps * facts.batch_size
    return Plan(
        run=config.run.name,
        num_experts=experts,
        volunteers=volunteers,
        is_prepared=facts.data.is_prepared,
        pictures=facts.data.num_pictures,
        rows=list(facts.data.rows),
        steps=config.tasks.steps,
        batch_size=facts.batch_size,
        expert_parameters=num_parameters(facts.model),
        router_parameters=num_router_parameters(facts.router),
        expert_flops=work.expert,
        epochs=seen * experts / max(1, sum(facts.data.rows)),
        cards=cards,
        volunteer=volunteer_plan(facts),
        organiser=organiser_plan(facts),
        replays_by=replays_by(facts),
        lanes=lanes_plan(facts, volunteers),
        problems=problems_of(facts, cards, verification_s),
        assumptions=_assumptions(facts),
    )


def listed_machines(precision: str) -> list[Machine]:
    """The cards of the table, at their assumed speeds."""
    table = load_cards()
    found = []
    for card in table.card:
        inference = card.speed("float32", table.assumed)
        if inference is not None:
            found.append(Machine(card.name, card.memory_bytes, card.speed(precision, table.assumed), inference))
    return found


def measured_machine(device: MeasuredDevice) -> Machine:
    """A measured device; volunteers on a CPU share it."""
    shared = device.threads / device.cores if device.device == "cpu" else 0.0
    return Machine(
        device.label, device.memory_bytes, device.speed, device.speed, True, start_s=device.start_s, shared=shared
    )


def assumed_cpu() -> Machine:
    """A CPU of assumed speed, with memory for any of the models."""
    speed = Speed(flops_per_s=_CPU_FLOPS_PER_S)
    return Machine("CPU", _CPU_MEMORY_BYTES, speed, speed)


def _organiser_speed(facts: Facts, devices: Sequence[MeasuredDevice]) -> Speed:
    """Of [compute] device: measured, or assumed."""
    kind = facts.config.compute.device.partition(":")[0]
    for device in devices:
        if device.device.partition(":")[0] == kind:
            return device.speed
    if kind == "cpu":
        return assumed_cpu().inference
    return listed_machines("float32")[0].inference


def _assumptions(facts: Facts) -> list[str]:
    assumed = load_cards().assumed
    used, precision = assumed.utilisation(facts.precision), facts.precision
    lines = [
        facts.data.origin,
        f"Cards reach {used:.0%} of their peak in {precision}, and take {assumed.layer_s * 1000:g} ms more for each "
        "layer of a piece of a batch; rows marked with * are measured.",
        f"prepare and verification compute in float32, at {assumed.float32_utilisation:.0%} of the peak; prepare "
        f"reads at most {PREPARE_ROWS_PER_S:,} pictures a second.",
        f"An unmeasured CPU makes {_CPU_FLOPS_PER_S / 1e9:.0f} GFLOP/s.",
        "Hours are those of the computation: fetching, pauses and repeated tasks come on top.",
    ]
    networks = [network for network in (facts.text, facts.embedder, facts.vae) if network is not None]
    return lines + [network.assumption for network in networks if network.assumption]
