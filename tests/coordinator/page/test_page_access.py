"""The organiser's page is for this machine; the world sees the public page, and only where it is switched on."""

from __future__ import annotations

import io

import pytest
from page_world import add_line, served, unpacked
from PIL import Image

ELSEWHERE = {
    "under another name": {"Host": "paris.example.org"},
    "by a rebound name": {"Host": "attacker.example:8484"},
    "through a proxy": {"X_Forwarded_For": "192.0.2.1"},
    "through another proxy": {"Forwarded": "for=192.0.2.1"},
}
ORGANISERS = ("/run/volunteers", "/run/events", "/run/verdicts", "/run/losses", "/run/pictures/data/clusters.png")


@pytest.fixture(scope="module")
def public_run(tmp_path_factory):
    run = unpacked(tmp_path_factory.mktemp("public"))
    (run / "release").mkdir()
    (run / "release" / "samples.png").write_bytes((run / "data" / "clusters.png").read_bytes())
    add_line(run, "[page]\npublic_page = true")
    return run


@pytest.fixture(scope="module")
def public_site(public_run):
    with served(public_run) as client:
        yield client


@pytest.mark.parametrize("case", ELSEWHERE)
def test_without_a_public_page_others_see_nothing(site, case):
    for path in ("/run", "/run/card.png", "/run/assets/page.css", "/run/stream?view=", *ORGANISERS):
        assert site.ask(path, **ELSEWHERE[case]).status == 404


@pytest.mark.parametrize("case", ELSEWHERE)
def test_others_see_the_public_page_alone(public_site, case):
    answer = public_site.ask("/run", **ELSEWHERE[case])
    assert answer.status == 200
    assert "paris-node join paris/tiny --hub-endpoint" in answer.text
    assert "/run/events" not in answer.text
    for path in (*ORGANISERS, "/run/task?task=expert-0", "/run/stream?view=events"):
        assert public_site.ask(path, **ELSEWHERE[case]).status == 404
    assert public_site.ask("/run/pictures/release/samples.png", **ELSEWHERE[case]).status == 200


def test_the_public_page_has_a_preview_for_other_sites(public_run, public_site):
    text = public_site.ask("/run", Host="paris.example.org").text
    assert '<meta property="og:image" content="http://paris.example.org/run/card.png">' in text
    answer = public_site.ask("/run/card.png", Host="paris.example.org")
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    with Image.open(io.BytesIO(answer.body)) as picture:
        assert picture.size == (1200, 630)
    Image.new("RGB", (8, 8), "#ff0000").save(public_run / "release" / "samples.png")
    after = public_site.ask("/run/card.png", Host="paris.example.org")
    assert after.body != answer.body, "another picture came to the same path"
    assert '<meta property="og:title" content="tiny: a model that strangers train together">' in text


@pytest.mark.parametrize("host", ["[::1", "127.0.0.1@a.example", "", "a b", "127.0.0.1:80:80", "<script>"])
def test_a_host_that_is_none_is_nobody_on_this_machine(site, public_site, host):
    assert site.ask("/run", Host=host).status == 404
    page = public_site.ask("/run", Host=host)
    assert page.status == 200
    assert 'content="/run/card.png"' in page.text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "[::1]:80"])
def test_this_machine_sees_everything(site, host):
    for path in ("/run", *ORGANISERS):
        assert site.ask(path, Host=host).status == 200
