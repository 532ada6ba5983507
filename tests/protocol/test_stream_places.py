"""Who keeps a place among a serving peer's streams."""

from __future__ import annotations

from paris.protocol.dht.stream_places import MAX_OF_ONE, MAX_REFUSED, MAX_UNPROVEN, StreamPlaces


class Ends(list):
    """Names of the streams that were ended."""

    def of(self, name: str):
        return lambda: self.append(name)


def test_a_peer_has_a_share_of_the_places_and_gets_it_back_when_a_stream_ends():
    places, ends = StreamPlaces(), Ends()
    mine = [places.enter("flood", ends.of("flood")) for _ in range(MAX_OF_ONE)]
    assert all(mine)
    assert places.enter("flood", ends.of("flood")) is None
    assert places.enter("other", ends.of("other")) is not None
    places.leave(mine[0])
    places.leave(mine[0])
    assert places.enter("flood", ends.of("flood")) is not None
    assert places.enter("flood", ends.of("flood")) is None
    assert not ends


def test_of_too_many_peers_without_a_question_the_oldest_gives_way():
    places, ends = StreamPlaces(), Ends()
    silent = [places.enter(f"peer-{number}", ends.of(f"peer-{number}")) for number in range(MAX_UNPROVEN)]
    assert all(silent)
    assert places.enter("honest", ends.of("honest")) is not None
    assert ends == ["peer-0"]
    assert places.enter("peer-0", ends.of("peer-0")) is not None, "it has its share again"
    places.leave(silent[0])
    assert ends == ["peer-0", "peer-1"]
    assert not places.accepted(silent[0], "signer"), "its stream was ended while it was checked"


def test_an_accepted_question_keeps_its_place_whatever_comes_and_a_signer_has_a_share():
    places, ends = StreamPlaces(), Ends()
    kept = [places.enter(f"kept-{number}", ends.of("kept")) for number in range(MAX_OF_ONE + 1)]
    assert [places.accepted(place, "signer") for place in kept] == [True] * MAX_OF_ONE + [False]
    places.leave(kept[-1])
    for number in range(2 * MAX_UNPROVEN):
        places.enter(f"peer-{number}", ends.of("flood"))
    assert "kept" not in ends
    places.leave(kept[0])
    again = places.enter("kept-0", ends.of("kept"))
    assert places.accepted(again, "signer")


def test_who_asked_badly_too_often_is_not_checked_for_a_while():
    now = [0.0]
    places = StreamPlaces(lambda: now[0])
    place, other = places.enter("bad", lambda: None), places.enter("good", lambda: None)
    for _ in range(MAX_REFUSED):
        assert places.may_check(place)
        places.refused(place)
    assert not places.may_check(place)
    assert places.may_check(other)
    now[0] += 10.0
    assert places.may_check(place)
    places.refused(place)
    assert places.may_check(place), "the count began again"


def test_what_is_remembered_of_peers_is_bounded():
    places = StreamPlaces()
    for number in range(5000):
        place = places.enter(f"peer-{number}", lambda: None)
        places.refused(place)
        places.leave(place)
    assert len(places._refused) <= 1024
    assert not places._num_of
