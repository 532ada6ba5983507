"""Damaged secrets of a Hub: it does not start with them, and says what to do."""

from __future__ import annotations

import pytest

from paris.coordinator.hub.accounts.auth import admin_token
from paris.coordinator.hub.accounts.tickets import load_secret
from paris.coordinator.hub.errors import HubStartError

MAKERS = {
    "admin.token": lambda folder: admin_token(folder),
    "tickets.key": lambda folder: load_secret(folder / "tickets.key"),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("damage", [b"", b"\xff\xfe"])
def test_a_damaged_secret_is_named_and_stays_and_removing_it_helps(tmp_path, name, damage):
    first = MAKERS[name](tmp_path)
    assert MAKERS[name](tmp_path) == first
    (tmp_path / name).write_bytes(damage)
    with pytest.raises(HubStartError, match="is damaged") as caught:
        MAKERS[name](tmp_path)
    assert str(tmp_path / name) in caught.value.what
    assert (tmp_path / name).read_bytes() == damage
    (tmp_path / name).unlink()
    assert MAKERS[name](tmp_path) not in (first, damage)
