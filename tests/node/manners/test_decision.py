"""Each setting holds: what is observed decides, and nothing that is not set."""

from __future__ import annotations

import pytest

from paris.node.errors import SettingsError
from paris.node.machine.config import NodeConfig, load_config
from paris.node.manners.decision import QUIET_S, Observed, unmeasured, why_pause
from paris.node.manners.settings import Manners

NOON = 1_700_000_000.0 - 1_700_000_000 % 86400 + 11 * 3600  # 12:00 in Berlin
WORST = Observed(
    NOON,
    is_on_battery=True,
    running=frozenset({"blender"}),
    has_input=True,
    others_share=1.0,
    in_use_at=NOON,
    temperature_c=105.0,
)


def reason(manners: Manners, seen: Observed) -> str | None:
    pause = why_pause(manners, seen)
    return None if pause is None else pause.reason


def test_nothing_pauses_a_machine_whose_owner_set_nothing():
    assert why_pause(NodeConfig(), WORST) is None


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"hours": "22:00-07:00"}, "hours"),
        ({"hours": "11:00-13:00"}, None),
        ({"not_on_battery": True}, "battery"),
        ({"not_while": ("game", "blender")}, "program"),
        ({"not_while": ("game",)}, None),
        ({"only_when_idle": True}, "in-use"),
        ({"max_temperature_c": 80}, "temperature"),
        ({"max_temperature_c": 110}, None),
    ],
)
def test_each_setting_pauses_for_its_own_reason(setting, expected):
    assert reason(Manners(**setting), WORST) == expected


def test_what_is_not_measured_pauses_nothing_and_is_named():
    every = Manners(not_on_battery=True, only_when_idle=True, max_temperature_c=80, not_while=("blender",))
    assert why_pause(every, Observed(NOON)) is None
    assert unmeasured(every, Observed(NOON)) == ["not_on_battery", "only_when_idle", "max_temperature_c"]
    assert unmeasured(every, WORST) == []
    assert unmeasured(Manners(), Observed(NOON)) == []


def test_the_volunteer_reads_when_the_hours_begin():
    pause = why_pause(Manners(hours="22:00-07:00,18:30-19:00"), Observed(NOON))
    assert pause.text == "outside the hours, until 18:30"
    assert pause.until == NOON + 6.5 * 3600


def test_a_machine_is_idle_some_minutes_after_it_was_used():
    manners = Manners(only_when_idle=True)
    assert reason(manners, Observed(NOON, in_use_at=NOON - QUIET_S + 1)) == "in-use"
    assert reason(manners, Observed(NOON, in_use_at=NOON - QUIET_S)) is None


def test_what_was_too_hot_first_cools_down():
    manners = Manners(max_temperature_c=80)
    pause = None
    felt = []
    for degrees in (79, 81, 79, 71, 70, 79, 81):
        pause = why_pause(manners, Observed(NOON, temperature_c=degrees), pause)
        felt.append(pause is not None)
    assert felt == [False, True, True, True, False, False, True]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('hours = "25:00-7:00"', "Invalid setting hours = '25:00-7:00'"),
        ('not_while = ["/usr/bin/blender"]', "Invalid setting not_while"),
        ("max_temperature_c = 500", "must be at most 110"),
        ("gpu_memory_share = 0", "greater than 0"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "config.toml").write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=said):
        load_config(tmp_path, {}, {})


def test_manners_come_from_the_file_the_environment_and_the_command_line(tmp_path):
    (tmp_path / "config.toml").write_text('not_while = ["blender"]\nhours = "22:00-07:00"\n', "utf-8")
    environ = {"PARIS_NODE_HOURS": "20:00-07:00", "PARIS_NODE_NOT_ON_BATTERY": "true"}
    config = load_config(tmp_path, environ, {"max_temperature_c": 80, "not_while": ["game", "blender"]})
    assert (config.hours, config.not_on_battery, config.max_temperature_c) == ("20:00-07:00", True, 80)
    assert config.not_while == ("game", "blender")
