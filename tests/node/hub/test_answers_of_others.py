"""Login pages, proxies and silent servers in place of the Hub: named, waited for, and nothing is lost by them."""

from __future__ import annotations

import hashlib
import random
import socket
import subprocess
import sys

import httpx2
import pytest
from deadlines import DEADLINE_S
from portal import Portal
from units import finish, make_unit

from paris.coordinator.hub import HubServer, add_user, admin_token
from paris.node.errors import TransientHubError
from paris.node.fetching.cache import Cache
from paris.node.fetching.download import Downloader
from paris.node.hub.client import Hub, translated
from paris.node.hub.file import append_from_hub
from paris.node.hub.pull_request import make_submission, upload
from paris.node.machine.unit import UnitFolder
from paris.protocol import hub_session
from paris.protocol.hub_session import HubClient, ProxySettingError
from paris.protocol.sealer import Sealer
from paris.protocol.signing import Identity

TOKEN = "a-token-of-ada-for-tests"
FOREIGN = "A login page or proxy answered instead of the Hub"


@pytest.fixture(scope="module")
def hub_server(tmp_path_factory):
    from huggingface_hub import HfApi

    folder = tmp_path_factory.mktemp("hub")
    with HubServer(folder) as server:
        add_user(folder, "ada", TOKEN)
        add_user(folder, "ben", "a-token-of-ben-for-tests")
        HfApi(endpoint=server.url, token=admin_token(folder)).create_repo("org/model")
        yield server


@pytest.mark.parametrize("mode", ["html", "untyped", "login", "html-files"])
def test_a_page_in_answer_to_a_range_leaves_the_part_and_the_download_continues(file_hub, tmp_path, mode):
    data = random.Random(1).randbytes(200_000)
    wanted = file_hub.add("shards/a.parquet", data)
    with Portal(file_hub.endpoint) as portal:
        portal.mode, waits, told = mode, [], []

        def pause(seconds: float) -> None:
            waits.append(seconds)
            assert cache.part(wanted.sha256).stat().st_size == 150_000
            if len(waits) == 12:  # as long as it takes: there is no number of tries
                portal.mode = "pass"

        cache = Cache(tmp_path / "cache")
        downloader = Downloader(Hub(portal.url, None), cache, pause)
        downloader.on_retry = lambda error, wait_s: told.append(error.what)
        cache.part(wanted.sha256).write_bytes(data[:150_000])
        assert downloader.fetch(wanted).read_bytes() == data
    assert len(waits) == 12
    assert len(told) == 1, "one line for all tries of half a minute"
    assert told[0].startswith(f"{FOREIGN}: GET {portal.url}/datasets/org/data/resolve/")
    assert downloader.bytes_from_hub == 50_000


def test_a_page_that_is_longer_than_a_small_file_is_no_wrong_hash(file_hub, tmp_path):
    wanted = file_hub.add("vocab.json", b'["cat"]')
    with Portal(file_hub.endpoint) as portal:
        portal.mode, waits = "untyped", []
        downloader = Downloader(Hub(portal.url, None), Cache(tmp_path / "cache"), waits.append, max_tries=None)
        downloader.pause = lambda seconds: waits.append(seconds) or setattr(portal, "mode", "pass")
        assert downloader.fetch(wanted).read_bytes() == b'["cat"]'
        portal.mode = "untyped"
        with pytest.raises(TransientHubError, match=FOREIGN):
            downloader.hub.read_small(f"{portal.url}/org/model/resolve/main/run.json", 1000)
    assert len(waits) == 1


def test_a_server_without_ranges_costs_no_byte_on_disk(file_hub, tmp_path):
    data = random.Random(2).randbytes(100_000)
    wanted = file_hub.add("a", data)
    cache = Cache(tmp_path / "cache")
    file_hub.faults["a"] = ["no-range-cut", "no-range"]
    part = cache.part(wanted.sha256)
    sizes = []
    downloader = Downloader(Hub(file_hub.endpoint, None), cache, lambda seconds: sizes.append(part.stat().st_size))
    part.write_bytes(data[:80_000])
    assert downloader.fetch(wanted).read_bytes() == data
    assert sizes == [80_000]


@pytest.mark.parametrize("mode", ["html", "untyped", "login", "html-writes", "cut-json", "other-json", "read-only"])
def test_an_upload_that_meets_a_portal_is_tried_again_and_makes_one_pull_request(hub_server, tmp_path, mode):
    folder, data, me = UnitFolder(tmp_path / "unit"), mode.encode() * 1000, Identity.generate()
    unit, lease_id = make_unit(), hashlib.sha256(data).hexdigest()[:32]
    unit = unit.model_copy(update={"lease": unit.lease.model_copy(update={"lease_id": lease_id})})
    unit = finish(folder, unit, data)
    submission = make_submission(unit, folder, Sealer(me, unit.run_id), name="ada", repo="org/model")
    with Portal(hub_server.url) as portal:
        hub = Hub(portal.url, TOKEN)
        portal.mode = mode
        for _ in range(2):
            with pytest.raises(TransientHubError) as caught:
                upload(hub, unit, folder, submission, me.public_key)
            reason = "403 (The Hub is read-only for maintenance)" if mode == "read-only" else FOREIGN
            assert reason in caught.value.what
        portal.mode = "pass"
        made = upload(hub, unit, folder, submission, me.public_key)
        assert upload(hub, unit, folder, submission, me.public_key) == made


def test_the_page_is_named_by_its_title_and_address(hub_server):
    with Portal(hub_server.url) as portal:
        portal.mode = "login"
        with pytest.raises(TransientHubError) as caught, translated("looking"):
            Hub(portal.url, None).api.repo_info("org/model")
    asked = f"{portal.url}/api/models/org/model"
    page = 'with a web page titled "Welcome to Hotel WiFi"'
    assert caught.value.what == f"{FOREIGN}: GET {asked} was answered by {portal.url}/portal (200) {page}."


ODD = [
    (302, {"Location": "http://[::1"}),
    (200, {"Content-Encoding": "gzip"}),
    (204, {}),
    (206, {"Content-Range": "bytes 7-8/9"}),
    (206, {"Content-Range": "bytes \xb2-8/9"}),
    (206, {"Content-Range": f"bytes {'9' * 5000}-"}),
]


@pytest.mark.parametrize(("status", "headers"), ODD)
def test_an_odd_answer_is_passing_trouble_for_a_file_and_for_a_part_of_one(file_hub, tmp_path, status, headers):
    wanted, part = file_hub.add("odd", b"123456789"), tmp_path / "part"
    part.write_bytes(b"123")
    hub = Hub(file_hub.endpoint, None)
    url = hub.url(wanted.repo, wanted.path, repo_type="dataset", revision=wanted.revision)
    file_hub.faults["odd"] = [(status, headers)] * 2
    with pytest.raises(TransientHubError):
        append_from_hub(hub, wanted, part, lambda num_bytes: None, 1000)
    with pytest.raises(TransientHubError):
        hub.read_small(url, 1000)
    append_from_hub(hub, wanted, part, lambda num_bytes: None, 1000)
    assert part.read_bytes() == hub.read_small(url, 1000) == b"123456789"


def test_an_upload_lists_the_pull_requests_of_its_own_user_alone(hub_server, tmp_path):
    with Portal(hub_server.url) as portal:
        ben = Hub(portal.url, "a-token-of-ben-for-tests")
        for number in range(3):
            ben.api.create_discussion("org/model", f"of ben {number}", pull_request=True)
        hub = Hub(portal.url, TOKEN)
        from paris.node.hub.pull_request import _find

        portal.passed.clear()
        assert _find(hub, "org/model", "of ben 1") is None
        assert _find(hub, "org/model", "of ben 2") is None
    paths = [path for _, path in portal.passed]
    assert [path for path in paths if "discussions" in path] == [path for path in paths if "author=ada" in path]
    assert len(paths) == 3, "one whoami, and one list for each upload"


def test_a_refused_connection_names_the_address_and_the_proxy(monkeypatch):
    with socket.socket() as taken:  # bound, not listening: refused
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("HTTP_PROXY", address.replace("//", "//user:geheim@"))
        for name in ("http_proxy", "NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        with HubClient(timeout=5) as client, pytest.raises(Exception, match="through the proxy") as caught:
            client.get("http://hub.example/api/whoami-v2")
    assert f"http://hub.example through the proxy {address}" in str(caught.value)
    assert "geheim" not in str(caught.value)


def test_a_hub_that_accepts_and_never_answers_is_given_up():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with HubClient(timeout=0.3) as client, pytest.raises(Exception, match=rf"{address}: no answer in time"):
            client.get(f"{address}/api/whoami-v2")
    from huggingface_hub.utils import get_session

    Hub(address, None)
    timeout = get_session().timeout
    assert None not in (timeout.connect, timeout.read, timeout.write)


def test_a_client_that_another_thread_closed_is_a_connection_error(file_hub):
    hub = Hub(file_hub.endpoint, None)
    client = HubClient()
    client.close()
    with pytest.raises(TransientHubError, match="closed by another thread"), translated("looking"):
        client.get(f"{hub.endpoint}/api/whoami-v2")


def test_a_connection_error_of_one_thread_leaves_the_client_of_all_open():
    from huggingface_hub.utils import get_session, http_backoff

    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    Hub(address, None)
    client = get_session()
    with pytest.raises(httpx2.ConnectError, match="refused"):
        http_backoff("GET", f"{address}/api/whoami-v2", max_retries=1, base_wait_time=0)
    assert get_session() is client
    assert not client.is_closed


def test_the_client_is_installed_before_any_other_use_of_the_library():
    program = """
import huggingface_hub
from paris.protocol.hub_session import HubClient, install
install(huggingface_hub)
install(huggingface_hub)
from huggingface_hub.utils import get_session
assert type(get_session()) is HubClient
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=DEADLINE_S)


def test_a_defect_of_ours_is_not_taken_for_a_portal():
    with pytest.raises(KeyError), translated("looking"):
        {}["sha"]


@pytest.mark.parametrize("password", ["se/cret99", "se?cret99", "se#cret99", "se@cret99"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(password, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", f"ftp://user:{password}@127.0.0.1:1")
    with pytest.raises(ProxySettingError) as caught:
        hub_session._make_client(lambda request: None)
    assert "https ftp://127.0.0.1:1" in str(caught.value)
    assert "cret99" not in str(caught.value)
