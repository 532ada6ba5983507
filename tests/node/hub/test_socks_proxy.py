"""The Hub client goes through a real SOCKS proxy, which also looks up the Hub's name."""

from __future__ import annotations

import socket

import pytest
from socks_server import SocksServer

from paris.node.errors import TransientHubError
from paris.node.hub.client import Hub

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def through(monkeypatch):
    """Sets one proxy variable, and gives the Hub at `hub.example` through it."""
    import huggingface_hub
    from huggingface_hub.utils import _http

    def forget_client() -> None:
        client, _http._GLOBAL_CLIENT = _http._GLOBAL_CLIENT, None
        if client is not None:
            client.close()

    def make(variable: str, proxy: str) -> Hub:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.setenv(variable, proxy)
        hub = Hub("http://hub.example", "secret")
        forget_client()  # the next request makes a client, which reads the variables
        return hub

    assert huggingface_hub
    yield make
    forget_client()


@pytest.mark.parametrize("variable", ["ALL_PROXY", "HTTP_PROXY", "all_proxy"])
def test_the_hub_is_reached_through_a_socks_proxy_which_looks_up_its_name(through, file_hub, variable):
    file_hub.files["run.json"] = b"the run"
    with SocksServer({"hub.example": ("127.0.0.1", file_hub.server_port)}) as proxy:
        hub = through(variable, proxy.url)
        url = hub.url("org/model", "run.json", repo_type="model", revision="main")
        assert hub.read_small(url, 100) == b"the run"
        assert proxy.asked == [("hub.example", 80)]
    assert file_hub.tokens == ["Bearer secret"]


def test_a_socks_proxy_that_refuses_is_named_with_the_address(through):
    with SocksServer({}) as proxy:
        with pytest.raises(TransientHubError) as caught:
            through("ALL_PROXY", proxy.url.replace("//", "//ada:pass@")).read_small("http://hub.example/x", 100)
        assert proxy.asked == []
        assert f"http://hub.example through the proxy {proxy.url}" in caught.value.what
        with pytest.raises(TransientHubError) as caught:
            through("ALL_PROXY", proxy.url).read_small("http://hub.example/x", 100)
        assert proxy.asked == [("hub.example", 80)]
    assert f"http://hub.example through the proxy {proxy.url}: " in caught.value.what
    assert "refused" in caught.value.what.lower()


def test_a_socks_proxy_that_is_not_there_is_named_with_the_address(through):
    with socket.socket() as bound:  # taken, and nobody listens
        bound.bind(("127.0.0.1", 0))
        url = f"socks5://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(TransientHubError) as caught:
            through("ALL_PROXY", url).read_small("http://hub.example/x", 100)
    assert f"http://hub.example through the proxy {url}: " in caught.value.what


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "192.168.0.1", "[::1]"])
def test_a_hub_on_the_internet_cannot_send_the_node_into_its_own_network(through, file_hub, host):
    file_hub.files |= {"run.json": b"the run", "secret": b"of this network"}
    file_hub.redirects["run.json"] = f"http://{host}:{file_hub.server_port}/secret"
    with SocksServer({"hub.example": ("127.0.0.1", file_hub.server_port)}) as proxy:
        hub = through("ALL_PROXY", proxy.url)
        with pytest.raises(TransientHubError, match="which is not on the internet"):
            hub.read_small(hub.url("org/model", "run.json", repo_type="model", revision="main"), 100)
    assert [path for path, _ in file_hub.requests] == ["run.json"], "the other request was never sent"


def test_a_hub_on_the_internet_may_send_the_node_to_its_store(through, file_hub):
    file_hub.files["stored"] = b"the run"
    file_hub.redirects["run.json"] = "http://cdn.example/org/model/resolve/main/stored"
    leads = ("127.0.0.1", file_hub.server_port)
    with SocksServer({"hub.example": leads, "cdn.example": leads}) as proxy:
        hub = through("ALL_PROXY", proxy.url)
        assert hub.read_small(hub.url("org/model", "run.json", repo_type="model", revision="main"), 100) == b"the run"
        assert [host for host, _ in proxy.asked] == ["hub.example", "cdn.example"]
