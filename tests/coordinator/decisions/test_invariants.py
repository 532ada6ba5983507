"""Runs in which anything happens in any order: what docs/protocol.md, "Invariants", promises holds after every tick.

A hypothesis state machine over the real `tick` and the real store. Volunteers come, report, hand in, lie and leave;
records arrive late, twice and in any order; actions end well, badly or late; the organiser orders; the coordinator is
killed, and its clock jumps.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from invariants import check_state, check_step
from story_world import KEYS, POLICIES, answer, audit, beat, new_run, result_of, want, work
from tick_world import START

from paris.coordinator.decisions.clock_moves import moved, without_future
from paris.coordinator.decisions.observations import Observation, VerificationFailed
from paris.coordinator.decisions.parallel import live_leases
from paris.coordinator.decisions.tick import tick
from paris.coordinator.state.model import WAITING, State
from paris.coordinator.state.orders import WHOLE_RUN, Order, OrderKind
from paris.coordinator.state.store import Store

PEOPLE, FRESH = KEYS[:6], KEYS[6:]
OUTCOMES = ["good", "good", "ask", "ask", "bad", "else", "broken"]
ABOUT_A_TASK = [
    OrderKind.ROLL_BACK,
    OrderKind.ROLL_BACK,
    OrderKind.ROLL_FORWARD,
    OrderKind.REVOKE,
    OrderKind.UNREGISTER,
]
ABOUT_A_TASK += [OrderKind.REREGISTER, OrderKind.RECHECK]
ABOUT_A_KEY = [OrderKind.BAN, OrderKind.UNBAN, OrderKind.ALLOW, OrderKind.DISALLOW]
SOON, LATER = st.floats(0.5, 90.0), st.sampled_from([150.0, 700.0, 2_500.0, 90_000.0])
PICK = st.integers(0, 11)
"""A place in a list, from its end: what came last is picked most often."""


class AnyRun(RuleBasedStateMachine):
    """One run and all that may happen to it."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.sequence, self.watching_since = START, 0, START - 10_000.0
        self.inbox: list[Observation] = []
        self.delivered: list[Observation] = []
        self.last_seen: list[Observation] = []
        self.under_way: list[Observation] = []
        self.folder: TemporaryDirectory[str] | None = None

    @initialize(name=st.sampled_from(sorted(POLICIES)))
    def begin(self, name: str) -> None:
        self.policy, self.state = POLICIES[name], new_run(name)
        self.saved = self.at_start = State()
        self.actions: tuple = ()
        self.tick()

    def teardown(self) -> None:
        if self.folder is not None:
            self.store.close()
            self.folder.cleanup()
        if hasattr(self, "policy"):
            self.check_leases_end()
            self.check_run_can_end()

    # What arrives

    @rule(who=PICK, state=st.sampled_from(["waiting", "waiting", "waiting", "busy", "leaving"]), skew_s=SOON)
    def wants(self, who: int, state: str, skew_s: float) -> None:
        key = PEOPLE[who % len(PEOPLE)]
        age_s = None if who < 6 else skew_s
        self.arrive(want(key, state, self.now - 30.0 + skew_s, self.number(), audits=who % 3 != 0, age_s=age_s))

    @rule(who=st.integers(2, 6))
    def many_want(self, who: int) -> None:
        self.arrive(*(want(key, "waiting", self.now, self.number()) for key in PEOPLE[:who]))

    @rule(
        which=PICK, share=st.sampled_from([0.0, 0.4, 1.0, 1.7]), state=st.sampled_from(["training", "failed", "paused"])
    )
    def reports(self, which: int, share: float, state: str) -> None:
        if held := self.lease(which):
            self.arrive(beat(held, share, state, self.now, self.number()))

    @rule(which=PICK, share=st.sampled_from([1.0, 1.0, 1.0, 0.5]), by=st.sampled_from(["honest", "honest", "cheat"]))
    def hands_in(self, which: int, share: float, by: str) -> None:
        if (held := self.lease(which)) and held.lease.audit is None:
            self.arrive(work(held, share, by, self.now, self.number()))

    @rule(which=PICK, is_own=st.booleans())
    def answers(self, which: int, is_own: bool) -> None:
        asked = [known for known in self.state.submissions.values() if known.challenge is not None]
        if asked:
            known = asked[which % len(asked)]
            self.arrive(answer(known, known.signer if is_own else PEOPLE[which % 6], self.now, self.number()))

    @rule(which=PICK, value=st.sampled_from([1.0, 2.0]))
    def audits(self, which: int, value: float) -> None:
        out = [audit for audit in self.state.audits.values() if audit.outcome == "waiting"]
        if out:
            lease = self.state.leases[out[which % len(out)].lease_id].lease
            self.arrive(audit(lease, value, self.now, self.number()))

    @rule(which=PICK)
    def arrives_again(self, which: int) -> None:
        if self.delivered:
            self.arrive(self.delivered[-1 - which % len(self.delivered)])

    @rule(which=PICK, kind=st.sampled_from(ABOUT_A_TASK), step=st.sampled_from([0, 0, 200, 400, 500]))
    def orders(self, which: int, kind: OrderKind, step: int) -> None:
        self.arrive(Order(kind, f"expert-{which % 2}", "because", step))

    @rule(which=PICK, kind=st.sampled_from(ABOUT_A_KEY))
    def decides_on_a_key(self, which: int, kind: OrderKind) -> None:
        self.arrive(Order(kind, PEOPLE[which % len(PEOPLE)], "because"))

    @rule(kind=st.sampled_from([OrderKind.PAUSE, OrderKind.UNPAUSE, OrderKind.UNPAUSE]))
    def pauses(self, kind: OrderKind) -> None:
        self.arrive(Order(kind, WHOLE_RUN, "because"))

    # What the coordinator does

    @rule(which=PICK, outcome=st.sampled_from(OUTCOMES), is_late=st.sampled_from([False, False, False, True]))
    def acts(self, which: int, outcome: str, is_late: bool) -> None:
        if self.actions:
            result = result_of(self.actions[which % len(self.actions)], self.state, outcome)
            if is_late:
                self.under_way.append(result)
            else:
                self.arrive(result)

    @rule(which=PICK)
    def late_action_ends(self, which: int) -> None:
        if self.under_way:
            self.arrive(self.under_way.pop(which % len(self.under_way)))

    @rule(after_s=st.one_of(SOON, LATER))
    def ticks(self, after_s: float) -> None:
        self.now += after_s
        self.tick()

    @rule(turns=st.integers(1, 16), workers=st.integers(2, 6), outcome=st.sampled_from(OUTCOMES))
    def goes_on(self, turns: int, workers: int, outcome: str) -> None:
        """A stretch in which all that are there work, so that runs come far; every third turn may end otherwise."""
        for turn in range(turns):
            self.now += 5.0
            self.inbox += self.all_well(PEOPLE[:workers], "good" if turn % 3 else outcome)
            self.tick()

    @rule(after_s=SOON, off_s=st.sampled_from([0.0, 0.0, 5_000.0, -5_000.0]))
    def is_killed_and_starts_again(self, after_s: float, off_s: float) -> None:
        """What was under way, or had not been taken in, is lost; the clock may be another one."""
        self.inbox, self.under_way = [], []
        if self.folder is None:
            self.folder = TemporaryDirectory()
            self.store = Store(Path(self.folder.name) / "state.sqlite")
        self.store.save(self.saved, self.state, [], self.now)
        self.at_start = self.saved = self.store.load()
        assert self.at_start == self.state, "what was saved is what was known"
        self.now = self.watching_since = self.now + after_s + off_s
        self.state = without_future(self.at_start, self.now, self.policy.lease_s)
        self.tick()

    @rule(by_s=st.sampled_from([3_600.0, -3_600.0, 40.0]))
    def clock_jumps(self, by_s: float) -> None:
        self.now += by_s
        self.watching_since = self.now
        self.state = moved(self.state, self.at_start, by_s)
        self.tick()

    # The invariants that need what might still come

    @invariant()
    def a_tick_that_sees_nothing_new_changes_nothing(self) -> None:
        if hasattr(self, "policy"):
            # An order may be given twice, and a verification fail twice: those are new.
            again = [one for one in self.last_seen if not isinstance(one, Order | VerificationFailed)]
            decision = tick(self.state, again, self.policy, self.now, self.watching_since)
            assert decision.state == self.state
            assert decision.actions == self.actions

    @invariant()
    def open_tasks_can_be_granted(self) -> None:
        """Invariant 7: whoever comes gets an open task, unless the run is paused."""
        if hasattr(self, "policy") and not self.state.pause.is_paused:
            at = self.now + 4 * self.policy.heartbeat_every_s
            fresh = [want(key, "waiting", at, 1) for key in FRESH[: 2 * len(self.state.tasks)]]
            after = tick(self.state, fresh, self.policy, at, self.watching_since).state
            left = [name for name, task in after.tasks.items() if task.task.state == "open"]
            assert left == [], f"nobody gets {left}"

    def check_leases_end(self) -> None:
        """Invariant 8: where nothing more is heard, every lease ends."""
        state = self.state
        for after_s in (20_000.0, 40_000.0):
            state = tick(state, [], self.policy, self.now + after_s, self.watching_since).state
        left = [held.lease for held in live_leases(state) if held.lease.lease_id not in state.submissions]
        assert left == []
        assert [audit for audit in state.audits.values() if audit.outcome == "waiting"] == []

    def check_run_can_end(self) -> None:
        """Invariants 1, 7 and 9 at last: with honest volunteers the run ends, and all work has its verdict."""
        self.inbox, helpers = [Order(OrderKind.UNPAUSE, WHOLE_RUN)], FRESH[: 1 + self.sequence % 4]
        for _ in range(300):
            self.now += 600.0
            self.inbox += self.all_well(helpers)
            self.tick()
            waiting = [known for known in self.state.submissions.values() if known.phase in WAITING]
            if not waiting and all(task.registration for task in self.state.experts.values()):
                return
        raise AssertionError(f"the run does not end: {self.state.tasks}, {waiting}")

    # Helpers

    def all_well(self, keys: list[str], outcome: str = "good") -> list[Observation]:
        """What comes if these volunteers work honestly and all actions end well, or as given."""
        seen: list[Observation] = [result_of(action, self.state, outcome) for action in self.actions]
        for held in live_leases(self.state):
            if held.lease.volunteer in keys and held.lease.lease_id not in self.state.submissions:
                seen.append(work(held, 1.0, "honest", self.now, self.number()))
        for out in self.state.audits.values():
            if out.outcome == "waiting" and out.volunteer in keys:
                seen.append(audit(self.state.leases[out.lease_id].lease, 1.0, self.now, self.number()))
        return seen + [want(key, "waiting", self.now, self.number()) for key in keys]

    def arrive(self, *seen: Observation) -> None:
        """Taken in with the next tick: at once, or, for every third, with what comes next."""
        self.inbox = [*reversed(seen), *self.inbox]
        if self.sequence % 3:
            self.now += 1.0
            self.tick()

    def tick(self) -> None:
        """One step of the service: observe, decide, check."""
        seen, self.inbox, before = self.inbox, [], self.state
        decision = tick(before, seen, self.policy, self.now, self.watching_since)
        self.state, self.actions = decision.state, decision.actions
        check_step(before, self.state, seen)
        check_state(self.state, self.actions)
        self.delivered, self.last_seen = (self.delivered + seen)[-40:], seen

    def lease(self, which: int):
        """A lease that was ever granted, mostly one of the last."""
        leases = sorted(self.state.leases.values(), key=lambda held: (held.lease.granted_at, held.lease.lease_id))
        return leases[-1 - which % len(leases)] if leases else None

    def number(self) -> int:
        """Sequence numbers grow, whatever the clock does."""
        self.sequence += 1
        return self.sequence


def _run(examples: int, steps: int, *, is_same: bool) -> None:
    run_state_machine_as_test(
        AnyRun,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=is_same,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_invariants_hold_in_any_run():
    _run(40, 25, is_same=True)


@pytest.mark.long  # shorter: the one above
def test_invariants_hold_in_many_long_runs():
    _run(600, 100, is_same=False)
