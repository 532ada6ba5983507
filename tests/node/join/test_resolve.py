from __future__ import annotations

import json
from pathlib import Path

import pytest

from paris.node.errors import ResolveError, SettingsError
from paris.node.hub.tokens import hub_token, own_token
from paris.node.join.resolve import newest, remember, resolve
from paris.node.machine.config import NodeConfig, load_config
from paris.node.machine.home import Home
from paris.protocol.canonical import canonical_bytes
from paris.protocol.errors import AddressError, RecordError, SignatureError, UnknownRunError, VersionError
from paris.protocol.hub_layout import PUBLIC_ENDPOINT
from paris.protocol.secrets import TokenError
from paris.protocol.signing import Identity

PEER = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWGRUVh2RdAyn2vKTA7kZzRbdLh8FdLuwuMjyJPDzBq1mR"


@pytest.fixture
def home(tmp_path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def find(home):
    def find(run: str, run_id: str | None = None, **settings):
        return resolve(run, home=home, config=NodeConfig(**settings), run_id=run_id, token=None)

    return find


def test_a_file_resolves_to_its_spec_and_peers(find, make_spec, tmp_path):
    spec = make_spec()
    path = tmp_path / "run.json"
    path.write_bytes(spec.data + b"\n")
    for run in (str(path), str(tmp_path)):
        address = find(run)
        assert address.spec == spec
        assert address.initial_peers == spec.payload.initial_peers


def test_a_url_and_a_hub_repo_resolve_too(find, make_spec, file_hub):
    spec = make_spec()
    file_hub.add("run.json", spec.data)
    assert find(f"{file_hub.endpoint}/org/model/resolve/main/run.json").spec == spec
    assert find("org/model", hub_endpoint=file_hub.endpoint).spec == spec
    signed = f"/run.json?signature={'f' * 300}"
    file_hub.add(signed, spec.data)
    assert find(file_hub.endpoint + signed).spec == spec


def test_a_run_joined_before_resolves_by_its_id(find, home, make_spec):
    spec = make_spec()
    remember(home, spec)
    assert find(spec.run_id).spec == spec


def test_a_multiaddr_needs_the_run_id(find, make_spec):
    with pytest.raises(ResolveError, match="Add --run ID"):
        find(PEER)
    run_id = make_spec().run_id
    address = find(PEER, run_id)
    assert (address.run_id, address.spec, address.initial_peers) == (run_id, None, (PEER,))
    with pytest.raises(RecordError, match="not a run id"):
        find(PEER, "../etc")


def test_a_spec_signed_by_another_key_is_refused(find, make_spec, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(make_spec(identity=Identity.generate()).data)
    with pytest.raises(SignatureError, match="not the key of run") as caught:
        find(str(path))
    assert "organiser" in caught.value.next_step


def test_a_changed_spec_is_refused(find, make_spec, tmp_path):
    raw = json.loads(make_spec().data)
    raw["payload"]["seed"] = 4
    path = tmp_path / "run.json"
    path.write_bytes(canonical_bytes(raw))
    with pytest.raises(SignatureError, match="is invalid"):
        find(str(path))


@pytest.mark.parametrize(("version", "side"), [(99, "Update this side"), (0, "other side must update")])
def test_another_protocol_version_says_which_side_must_update(find, make_spec, tmp_path, version, side):
    raw = json.loads(make_spec().data)
    raw["version"] = version
    path = tmp_path / "run.json"
    path.write_bytes(canonical_bytes(raw))
    with pytest.raises(VersionError, match=side):
        find(str(path))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"a":1}', b"\xff\xfe", b"x" * 9999])
def test_a_file_that_is_no_run_is_a_clear_error(find, tmp_path, data):
    path = tmp_path / "run.json"
    path.write_bytes(data)
    with pytest.raises(RecordError):
        find(str(path))


def test_what_is_nothing_at_all_lists_what_it_could_be(find):
    with pytest.raises(ResolveError, match="neither a file"):
        find("no-such-run")


@pytest.mark.parametrize("url", ["http://", "https://[::1", "http://127.0.0.1:1:2", "http://a:99999", "http://a..b"])
def test_an_address_that_can_never_answer_is_refused_at_once(find, url):
    with pytest.raises(AddressError, match="is not an http or https address"):
        find(f"{url}/run.json")
    with pytest.raises(AddressError, match="is not an http or https address"):
        find("org/model", hub_endpoint=url)
    with pytest.raises(AddressError, match="is not an http or https address"):
        hub_token(Path("none"), NodeConfig(hub_endpoint=url), {}, PUBLIC_ENDPOINT)


def test_the_home_of_an_unknown_user_is_named(find):
    with pytest.raises(SettingsError, match="no home folder"):
        find("~nobody-of-this-name/run.json")


def test_a_missing_repo_names_the_hub(find, file_hub):
    with pytest.raises(ResolveError, match=r"gives no run\.json of org/none"):
        find("org/none", hub_endpoint=file_hub.endpoint)


def test_the_spec_of_another_run_is_refused(find, make_spec, tmp_path):
    path = tmp_path / "run.json"
    path.write_bytes(make_spec().data)
    with pytest.raises(ResolveError, match="not of other-0123456789abcdef"):
        find(str(path), "other-0123456789abcdef")


def test_the_newest_spec_is_kept_and_an_older_one_never_comes_back(home, make_spec):
    new, old = make_spec(sequence=5, seed=5), make_spec(sequence=4, seed=4)
    assert remember(home, new) == new
    assert remember(home, old) == new
    assert newest([old, new], new.run_id) == new


def test_a_run_that_no_peer_knows_is_an_unknown_run(make_spec):
    with pytest.raises(UnknownRunError, match="No peer knows the run"):
        newest([], make_spec().run_id)


def test_settings_come_from_file_environment_and_flags_in_that_order(tmp_path):
    (tmp_path / "config.toml").write_text('name = "file"\nthreads = 1\nnice = 1\n', "utf-8")
    environ = {"PARIS_NODE_THREADS": "2", "PARIS_NODE_NICE": "2", "PARIS_NODE_DEVICE": "cpu", "OTHER": "x"}
    config = load_config(tmp_path, environ, {"nice": 3, "name": None})
    assert (config.name, config.threads, config.nice, config.device) == ("file", 2, 3, "cpu")


def test_an_unknown_setting_is_named_with_where_it_stands(tmp_path):
    (tmp_path / "config.toml").write_text("treads = 1\n", "utf-8")
    with pytest.raises(SettingsError, match=r"Unknown setting 'treads' from .*config\.toml") as caught:
        load_config(tmp_path, {}, {})
    assert "threads" in caught.value.next_step
    with pytest.raises(SettingsError, match="from PARIS_NODE_NO"):
        load_config(tmp_path / "none", {"PARIS_NODE_NO": "1"}, {})


def test_a_setting_out_of_range_quotes_its_value(tmp_path):
    with pytest.raises(SettingsError, match=r"Invalid setting nice = 99 \(from --nice\): must be at most 19\."):
        load_config(tmp_path, {}, {"nice": 99})


def test_the_token_comes_from_the_environment_then_a_file(tmp_path):
    config = NodeConfig(hub_token_endpoint="https://x")
    assert hub_token(tmp_path, config, {}, "https://x") is None
    (tmp_path / "hub_token").write_text("from-file\n", "utf-8")
    assert hub_token(tmp_path, config, {}, "https://x") == "from-file"
    assert hub_token(tmp_path, config, {"PARIS_HUB_TOKEN": "from-env"}, "https://x") == "from-env"
    with pytest.raises(SettingsError, match="cannot be read"):
        hub_token(tmp_path, config.model_copy(update={"hub_token_file": tmp_path / "none"}), {}, "https://x")


@pytest.mark.parametrize(
    ("settings", "endpoint", "is_sent"),
    [
        ({}, "https://huggingface.co", True),
        ({}, "https://huggingface.co:443/", True),
        ({}, "http://127.0.0.1:8484", False),
        ({}, "https://huggingface.co.example.org", False),
        ({}, "https://huggingface.co@example.org", False),
        ({}, "https://huggingface.co:8443", False),
        ({"hub_endpoint": "https://hub.example.org"}, "https://hub.example.org", True),
        ({"hub_endpoint": "https://hub.example.org"}, "https://huggingface.co", False),
        ({"hub_token_endpoint": "http://127.0.0.1:8484/"}, "http://127.0.0.1:8484", True),
        ({"hub_token_endpoint": "http://localhost:1"}, "http://localhost:1", True),
    ],
)
@pytest.mark.parametrize("source", ["environment", "file"])
def test_a_token_goes_to_the_one_hub_that_it_belongs_to(tmp_path, settings, endpoint, is_sent, source):
    environ = {"PARIS_HUB_TOKEN": "my-token"} if source == "environment" else {}
    (tmp_path / "hub_token").write_text("my-token", "utf-8")
    assert hub_token(tmp_path, NodeConfig(**settings), environ, endpoint) == ("my-token" if is_sent else None)


@pytest.mark.parametrize("endpoint", ["http://huggingface.co", "http://192.0.2.7:8484", "http://127.0.0.1.example.org"])
def test_a_token_is_never_sent_unencrypted_to_another_machine(tmp_path, endpoint):
    config = NodeConfig(hub_token_endpoint=endpoint)
    with pytest.raises(TokenError, match=f"PARIS_HUB_TOKEN is not sent to {endpoint}.*https") as caught:
        hub_token(tmp_path, config, {"PARIS_HUB_TOKEN": "my-token"}, endpoint)
    assert "my-token" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["hf_geheim\nhf_geheim", "my geheim", "geheim\x00", "g\u00e9heim-token", "geheim\x1b[0m"]
)
def test_a_malformed_token_is_refused_where_it_is_read_and_not_printed(tmp_path, text):
    (tmp_path / "hub_token").write_text(text, "utf-8")
    with pytest.raises(TokenError, match=r"The token in .*hub_token has") as caught:
        hub_token(tmp_path, NodeConfig(), {}, "https://huggingface.co")
    assert "heim" not in str(caught.value)


def test_a_token_of_ones_own_differs_by_hub_and_by_volunteer_and_never_goes_to_the_public_hub():
    ada, ben = Identity.generate(), Identity.generate()
    tokens = {own_token(who, hub) for who in (ada, ben) for hub in ("https://a:1", "https://b:1")}
    assert len(tokens) == 4
    assert own_token(ada, "https://a:1/") in tokens
    assert own_token(ada, "https://huggingface.co") is None
    assert all(20 <= len(token) <= 200 for token in tokens)
