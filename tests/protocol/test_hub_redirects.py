"""Which redirects lead into a private network."""

import pytest

from paris.protocol.hub_redirects import addresses_of, why_inward

NAMES = {"hub.example": ["93.184.216.34"], "cdn.example": ["2606:2800:220:1::1"], "lan.example": ["192.168.1.4"]}
HUB, LAN, HERE = "https://hub.example/a", "https://lan.example/a", "http://127.0.0.1:8000/a"


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        (HUB, "/b"),
        (HUB, "https://cdn.example/b"),
        (HUB, "//hub.example:444/b"),
        (HUB, "https://unknown.example/b"),
        (LAN, "https://10.0.0.7/b"),
        (LAN, "https://cdn.example/b"),
        (HERE, "http://127.0.0.2/b"),
        (HERE, "https://cdn.example/b"),
    ],
)
def test_a_redirect_outward_or_within_is_followed(asked, location):
    assert why_inward(asked, location, lambda host: NAMES.get(host, [])) is None


@pytest.mark.parametrize(
    ("asked", "location", "host"),
    [
        (HUB, "http://169.254.169.254/latest", "169.254.169.254"),
        (HUB, "http://192.168.1.1/b", "192.168.1.1"),
        (HUB, "//lan.example/b", "lan.example"),
        (HUB, "http://[::1]:8000/b", "::1"),
        (HUB, "http://[::ffff:10.0.0.1]/b", "::ffff:10.0.0.1"),
        (HUB, "http://0.0.0.0/b", "0.0.0.0"),
        (LAN, "http://127.0.0.1/b", "127.0.0.1"),
        (LAN, "http://169.254.169.254/latest", "169.254.169.254"),
    ],
)
def test_a_redirect_inward_is_not(asked, location, host):
    reason = why_inward(asked, location, lambda name: NAMES.get(name, []))
    assert reason == f"it redirects to {host}, which is not on the internet"


def test_names_of_this_machine_are_looked_up():
    assert {"127.0.0.1", "::1"} & set(addresses_of("localhost"))
    assert addresses_of("no-such-host.invalid") == []


def test_a_redirect_to_something_that_is_no_address_is_named():
    assert why_inward(HUB, "http://[::1", addresses_of) == "it redirects to something that is no address"
    assert why_inward(HUB, f"http://{'a' * 64}.example/b", addresses_of) is None, "it has no address"
