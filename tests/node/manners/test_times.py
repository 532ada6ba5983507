"""Times as volunteers write them."""

from __future__ import annotations

import pytest

from paris.node.errors import SettingsError
from paris.node.manners.times import (
    clock_in_words,
    duration_s,
    is_within,
    minute_of_day,
    next_time_of_day,
    parse_hours,
)

NOON = 1_700_000_000.0 - 1_700_000_000 % 86400 + 43200


@pytest.mark.parametrize(("text", "seconds"), [("45s", 45), ("90m", 5400), ("2h", 7200), ("1d12h", 129600)])
def test_a_duration_is_read(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "0s", "9999d", "1.5h", "2h!"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SettingsError, match="is no duration"):
        duration_s(text)


@pytest.mark.parametrize("text", ["", "24:01", "7", "7:5", "12:60", "noon", "-1:00"])
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(SettingsError, match="is no time of day"):
        minute_of_day(text)


def test_the_next_time_of_day_is_today_or_tomorrow_by_the_local_clock():
    assert next_time_of_day("18:00", NOON) == NOON + 5 * 3600  # 13:00 in Berlin's winter
    assert next_time_of_day("13:00", NOON) == NOON + 24 * 3600
    assert next_time_of_day("7:30", NOON) == NOON + 18.5 * 3600


def test_a_night_in_which_summer_time_begins_is_an_hour_shorter():
    evening = 1_711_832_400.0  # 30 March 2024, 22:00 in Berlin
    assert next_time_of_day("7:00", evening) == evening + 8 * 3600


def test_a_time_far_away_has_its_date():
    assert clock_in_words(NOON, NOON) == "13:00"
    assert clock_in_words(NOON + 2 * 86400, NOON) == "2023-11-16 13:00"


def test_hours_may_go_over_midnight():
    hours = parse_hours("22:00-07:00, 12:00-13:30")
    assert hours == ((1320, 420), (720, 810))
    inside = [minute for minute in range(1440) if is_within(hours, minute)]
    assert inside == [*range(420), *range(720, 810), *range(1320, 1440)]


def test_hours_end_at_midnight_or_are_empty():
    assert parse_hours("") == ()
    assert is_within(parse_hours("18:00-24:00"), 1439)
    assert not is_within(parse_hours("18:00-24:00"), 0)


@pytest.mark.parametrize("text", ["22:00", "22-7", "22:00-", "8:00-8:00", "8:00-9:00-10:00", "8:00-9:00;10:00-11:00"])
def test_what_is_no_range_of_hours_is_refused(text):
    with pytest.raises(ValueError, match="must be ranges such as 22:00-07:00"):
        parse_hours(text)
