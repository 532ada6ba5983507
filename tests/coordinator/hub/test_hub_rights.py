"""Who may do what at the embedded Hub, without its server: tokens, accounts, upload addresses, routes, counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from types import SimpleNamespace

import pytest

from paris.coordinator.hub import add_user
from paris.coordinator.hub.access import find_own_repo, find_repo
from paris.coordinator.hub.accounts.auth import ANONYMOUS, User, Users, admin_token, expire_accounts
from paris.coordinator.hub.accounts.reservations import Reservations
from paris.coordinator.hub.accounts.tickets import Ticket, TicketOffice, load_secret
from paris.coordinator.hub.accounts.traffic import Traffic
from paris.coordinator.hub.errors import HubStartError, Refusal
from paris.coordinator.hub.repositories.repos import create_repo
from paris.coordinator.hub.routing import Route, find_route
from paris.coordinator.hub.storage.store import Store

TOKEN = "a_token_of_twenty_letters"
OTHER = "another_token_of_twenty_letters"
STRANGER = "x" * 20


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "hub.sqlite3")
    yield store
    store.close()


def users(tmp_path, store, *, open_registration=True, most=3) -> Users:
    return Users(tmp_path, store, open_registration=open_registration, max_volunteers=most)


def refused(function, *arguments) -> int:
    with pytest.raises(Refusal) as refusal:
        function(*arguments)
    return refusal.value.status


@pytest.mark.parametrize(
    ("role", "owner", "owns"),
    [
        ("admin", "anybody", True),
        ("user", "ada", True),
        ("user", "lab", True),
        ("user", "ben", False),
        ("volunteer", "ada", False),
        ("volunteer", "lab", False),
        ("anonymous", "ada", False),
    ],
)
def test_a_user_owns_what_bears_its_name_or_its_organisations_and_an_administrator_everything(role, owner, owns):
    user = User("ada", role, ("lab",))
    assert user.owns(owner) is owns
    assert user.is_logged_in is (role != "anonymous")


def test_a_token_is_known_from_the_next_request_on_and_only_its_hash_is_stored(tmp_path, store):
    known = users(tmp_path, store, open_registration=False)
    assert refused(known.identify, f"Bearer {TOKEN}") == 401
    add_user(tmp_path, "ada", TOKEN, ["lab", "club"])
    assert known.identify(f"Bearer {TOKEN}") == User("ada", "user", ("lab", "club"))
    assert known.identify(f"bearer {TOKEN}").name == "ada"
    add_user(tmp_path, "root", OTHER, role="admin")
    assert known.identify(f"Bearer {OTHER}") == User("root", "admin")
    assert known.identify(f"Bearer {TOKEN}").name == "ada"
    text = (tmp_path / "tokens.json").read_text()
    assert TOKEN not in text
    assert json.loads(text)[digest(TOKEN)] == {"name": "ada", "role": "user", "orgs": ["lab", "club"]}
    assert (tmp_path / "tokens.json").stat().st_mode & 0o777 == 0o600
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_damaged_list_of_accounts_leaves_those_that_were_read_before_in_use(tmp_path, store):
    known = users(tmp_path, store, open_registration=False)
    add_user(tmp_path, "ada", TOKEN)
    assert known.identify(f"Bearer {TOKEN}").name == "ada"
    (tmp_path / "tokens.json").write_text("[")
    assert known.identify(f"Bearer {TOKEN}").name == "ada"
    with pytest.raises(HubStartError, match="not a list of accounts"):
        add_user(tmp_path, "ben", OTHER)
    (tmp_path / "tokens.json").unlink()
    assert refused(known.identify, f"Bearer {TOKEN}") == 401


@pytest.mark.parametrize("header", [None, ""])
def test_without_a_header_the_caller_is_anonymous(tmp_path, store, header):
    assert users(tmp_path, store).identify(header) is ANONYMOUS
    assert (ANONYMOUS.name, ANONYMOUS.role) == ("anonymous", "anonymous")


@pytest.mark.parametrize(
    "header", [f"Basic {STRANGER}", "Bearer " + "x" * 19, "Bearer " + "x" * 201, f"Bearer {STRANGER}!", "Bearer"]
)
def test_what_is_no_token_is_refused_as_the_client_understands_it(tmp_path, store, header):
    with pytest.raises(Refusal, match="Invalid credentials in Authorization header") as refusal:
        users(tmp_path, store).identify(header)
    assert refusal.value.status == 401


@pytest.mark.parametrize("token", ["x" * 20, "y" * 200, "a.b-c_D9" * 3])
def test_any_token_of_the_right_form_is_a_volunteer_under_one_name(tmp_path, store, token):
    known = users(tmp_path, store)
    user = known.identify(f"Bearer {token}")
    assert (user.name, user.role, user.new_token_sha256) == (f"user-{digest(token)[:8]}", "volunteer", digest(token))
    stored = known.register(user)
    assert stored == User(user.name, "volunteer") == known.register(user) == known.identify(f"Bearer {token}")
    assert known.register(stored) is stored


def test_names_belong_to_the_first_token_with_their_digits(tmp_path, store):
    known, sha256 = users(tmp_path, store), digest(STRANGER)
    with store.write() as db:
        db.execute("INSERT INTO users VALUES (?, ?, ?)", ("0" * 64, f"user-{sha256[:8]}", 1.0))
    assert known.identify(f"Bearer {STRANGER}").name == f"user-{sha256[:16]}"
    with store.write() as db:
        for number, digits in enumerate((16, 32), start=1):
            db.execute("INSERT INTO users VALUES (?, ?, ?)", (f"{number:064x}", f"user-{sha256[:digits]}", 1.0))
    assert known.identify(f"Bearer {STRANGER}").name == f"user-{sha256}"


def test_there_are_no_more_volunteers_than_the_limit_says(tmp_path, store):
    known = users(tmp_path, store, most=2)
    people = [known.identify(f"Bearer {letter * 20}") for letter in "abc"]
    for person in people[:2]:
        known.register(person)
    assert refused(known.register, people[2]) == 403
    assert known.register(people[0]).name == people[0].name


def test_old_accounts_without_anything_stored_are_deleted(store):
    with store.write() as db:
        for name, made_at in (("user-1", 10.0), ("user-2", 20.0), ("user-3", 10.0)):
            db.execute("INSERT INTO users VALUES (?, ?, ?)", (digest(name), name, made_at))
        db.execute("INSERT INTO uploads VALUES (?, 'user-3', 1, 1.0)", ("0" * 64,))
        expire_accounts(db, 20.0)
        assert [row[0] for row in db.execute("SELECT name FROM users ORDER BY name")] == ["user-2", "user-3"]


@pytest.mark.parametrize(
    ("name", "token", "orgs"),
    [
        ("user-12345678", TOKEN, []),
        ("", TOKEN, []),
        ("a/b", TOKEN, []),
        ("ada", TOKEN, ["lab", "c d"]),
        ("ada", "x" * 19, []),
        ("ada", "x" * 201, []),
        ("ada", f"{TOKEN}\n", []),
    ],
)
def test_an_account_of_another_form_is_not_made(tmp_path, name, token, orgs):
    with pytest.raises(HubStartError):
        add_user(tmp_path, name, token, orgs)
    assert not (tmp_path / "tokens.json").exists()


def test_the_administrators_token_is_made_once_and_private_and_a_damaged_one_is_named(tmp_path, store):
    token = admin_token(tmp_path)
    assert admin_token(tmp_path) == token
    assert token.startswith("paris_admin_")
    assert len(token) == len("paris_admin_") + 40
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert users(tmp_path, store).identify(f"Bearer {token}") == User("admin", "admin")
    (tmp_path / "admin.token").write_bytes(b"\xff")
    with pytest.raises(HubStartError, match=r"admin\.token is damaged"):
        admin_token(tmp_path)


def ticket(**changes) -> Ticket:
    fields = {"oid": "0" * 64, "size": 9, "user": "ada", "repo": "models/lab/run", "expires": int(time.time() + 999)}
    return Ticket(**{**fields, **changes})


def as_query(office: TicketOffice, one: Ticket) -> dict[str, str]:
    return dict(pair.split("=") for pair in office.query(one).replace("%2F", "/").split("&"))


def test_an_upload_address_gives_back_its_ticket_and_no_letter_of_it_can_be_changed():
    office = TicketOffice(b"secret")
    one = ticket(limited=True, part_bytes=5, part=2)
    query = as_query(office, one)
    assert office.check(query) == one
    for name, value in query.items():
        assert refused(office.check, {**query, name: value[:-1] + ("1" if value[-1] != "1" else "2")}) == 403
        assert refused(office.check, {key: value for key, value in query.items() if key != name}) == 403
    assert refused(office.check, {**query, "more": "1"}) == 403
    assert refused(TicketOffice(b"another").check, query) == 403


def test_tickets_are_for_objects_in_one_piece_unless_they_say_so_and_expire():
    one, office = ticket(), TicketOffice(b"secret")
    assert (one.limited, one.part_bytes, one.part) == (False, 0, 0)
    with pytest.raises(Refusal, match="expired"):
        office.check(as_query(office, ticket(expires=int(time.time()) - 1)))


def test_the_key_of_the_tickets_stays_after_a_restart(tmp_path):
    path = tmp_path / "tickets.key"
    secret = load_secret(path)
    assert load_secret(path) == secret
    assert len(secret) == 32
    path.write_bytes(secret[:-1])
    with pytest.raises(HubStartError, match="is damaged"):
        load_secret(path)


def test_traffic_is_added_up_by_user_repository_and_part_and_saved(store):
    counts = Traffic(store)
    counts.add(("ada", "run", "a"), 5, 7)
    assert counts.totals() == {"received": 5, "sent": 7}
    counts.save()
    counts.add(("ada", "run", "a"), 1, 2)
    counts.add(("ben", "run", "b"), 10, 20)
    assert counts.totals() == {"received": 16, "sent": 29}
    found = counts.report()
    assert (found["uploaded_bytes"], found["downloaded_bytes"]) == (16, 29)
    assert found["entries"] == [
        {"user": "ada", "repo": "run", "part": "a", "uploaded_bytes": 6, "downloaded_bytes": 9},
        {"user": "ben", "repo": "run", "part": "b", "uploaded_bytes": 10, "downloaded_bytes": 20},
    ]
    assert Traffic(store).totals() == {"received": 16, "sent": 29}


def test_traffic_is_due_after_ten_seconds_and_users_beyond_ten_thousand_are_others(store, monkeypatch):
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    counts = Traffic(store)
    now[0] += 10.0
    assert not counts.is_due()
    now[0] += 0.1
    assert counts.is_due()
    counts.save()
    assert not counts.is_due()
    for number in range(10_001):
        counts.add((f"user-{number}", "run", "a"), 1, 0)
    counts.add(("user-7", "run", "a"), 1, 0)
    entries = counts.report()["entries"]
    assert len(entries) == 10_001
    uploaded = {one["user"]: one["uploaded_bytes"] for one in entries}
    assert (uploaded["(others)"], uploaded["user-7"]) == (1, 2)
    later = Traffic(store)
    later.add(("user-3", "run", "b"), 1, 0)
    later.add(("a newcomer", "run", "b"), 1, 0)
    assert [one["user"] for one in later.report()["entries"] if one["part"] == "b"] == ["(others)", "user-3"]


def test_announced_bytes_count_while_the_upload_lasts_also_when_it_fails():
    held = Reservations()
    with held.hold("ada", 5), held.hold("ben", 7):
        with contextlib.suppress(KeyError), held.hold("ada", 10):
            assert (held.of_user("ada"), held.total()) == (15, 22)
            raise KeyError
        assert (held.of_user("ada"), held.of_user("ben"), held.of_user("eve")) == (5, 7, 0)
    assert (held.of_user("ada"), held.total()) == (0, 0)
    assert held._bytes == {}, "users who are done take no memory"


def handler(call):
    return call


async def streaming(call):
    return call


ROUTES = [
    Route("GET", "api/{kind}/{owner}/{name}", handler),
    Route("POST", "api/{kind}/{owner}/{name}", handler),
    Route("GET", "{owner}/{name}.git/info", handler),
    Route("PUT", "{owner}/{name}/raw/{path*}", streaming, admit=lambda call: call.append("admitted")),
]


@pytest.mark.parametrize(
    ("method", "path", "number", "params"),
    [
        ("GET", "/api/models/lab/run", 0, {"kind": "models", "owner": "lab", "name": "run"}),
        ("HEAD", "/api/datasets/lab/run/", 0, {"kind": "datasets", "owner": "lab", "name": "run"}),
        ("POST", "/api/models/lab/a%2Fb", 1, {"kind": "models", "owner": "lab", "name": "a/b"}),
        ("GET", "/lab/run.git/info", 2, {"owner": "lab", "name": "run"}),
        ("PUT", "/lab/run/raw/a/b%20c/d", 3, {"owner": "lab", "name": "run", "path": "a/b c/d"}),
    ],
)
def test_a_path_leads_to_its_route_with_decoded_parameters(method, path, number, params):
    assert find_route(ROUTES, method, path) == (ROUTES[number], params)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/spaces/lab/run", 404),
        ("GET", "/lab/.git/info", 404),
        ("GET", "/lab/run/info", 404),
        ("PUT", "/lab/run/raw", 404),
        ("GET", "/api/models/lab", 404),
        ("GET", "/api/models/lab/run/more", 404),
        ("DELETE", "/api/models/lab/run", 405),
        ("GET", "/lab/run/raw/a", 405),
        ("GET", "/api/models/lab/%ff", 400),
    ],
)
def test_other_paths_and_methods_are_refused(method, path, status):
    with pytest.raises(Refusal) as refusal:
        find_route(ROUTES, method, path)
    assert refusal.value.status == status
    if path == "/api/models/lab/run":
        assert refusal.value.headers == {"Allow": "GET, POST"}
        assert "allowed: GET, POST" in refusal.value.what


def test_a_route_asks_for_a_token_unless_it_only_reads_or_has_its_own_check():
    asked = []
    call = SimpleNamespace(require_login=lambda: asked.append("login"), append=asked.append)
    for route, expected in zip(ROUTES, ([], ["login"], [], ["admitted"]), strict=True):
        asked.clear()
        route.check(call)
        assert asked == expected
    assert [route.streams for route in ROUTES] == [False, False, False, True]
    assert not ROUTES[0].is_commit


ADA, LAB, ROOT = User("ada", "volunteer"), User("lab", "user"), User("root", "admin")
MAY_READ = {("open", user): True for user in (ANONYMOUS, ADA, LAB, ROOT)} | {
    ("hidden", ANONYMOUS): False, ("hidden", ADA): False, ("hidden", LAB): True, ("hidden", ROOT): True
}  # fmt: skip


@pytest.mark.parametrize(("name", "user"), MAY_READ, ids=lambda value: getattr(value, "name", value))
def test_private_repositories_are_there_for_their_owner_alone_and_only_owners_write(store, name, user):
    def require_login():
        if not user.is_logged_in:
            raise Refusal(401, "who?")

    with store.write() as db:
        create_repo(db, "models", "lab", name, private=name == "hidden", author="lab", at=1.0)
        create_repo(db, "datasets", "lab", "rows", private=False, author="lab", at=1.0)
    with store.read() as db:
        call = SimpleNamespace(params={"owner": "lab", "name": name}, reader=db, user=user, repo_label="")
        call.require_login = require_login
        if MAY_READ[name, user]:
            assert find_repo(call).full_name == f"lab/{name}"
            assert call.repo_label == f"models/lab/{name}"
        else:
            assert refused(find_repo, call) == 404
            assert call.repo_label == ""
        if user in (LAB, ROOT):
            assert find_own_repo(call).name == name
        else:
            assert refused(find_own_repo, call) == (404 if name == "hidden" else 401 if user == ANONYMOUS else 403)
        call.params = {"kind": "datasets", "owner": "lab", "name": name}
        assert refused(find_repo, call) == 404
        call.params["name"] = "rows"
        assert find_repo(call).kind == "datasets"
