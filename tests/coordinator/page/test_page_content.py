"""What the pages say about a run, and what they keep from being carried out."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from page_world import ADAS_LEASE, change, served

from paris.coordinator.page.views import VIEWS
from paris.coordinator.run.grids import Grid, GridRow, grid_file, write_grid
from paris.coordinator.state.audits import AuditState
from paris.coordinator.state.events import Event, EventKind
from paris.coordinator.state.model import ReleaseState

HOSTILE = "' onfocus=alert(1) autofocus x=\"\u202e{{7*7}}"
"""As bad as a name may be: records refuse angle brackets."""
EVIL = f'<img src=x onerror="alert(1)">{HOSTILE}'
"""A text that is no name."""
EVERY_PAGE = [f"/run/{view.path}".rstrip("/") for view in VIEWS]


class Reader(HTMLParser):
    """Checks that every element is closed, and keeps what is needed to judge a page."""

    VOID = ("meta", "link", "br", "img", "input", "progress-", "polyline", "line", "circle")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        self.external: list[str] = []
        self.handlers: list[str] = []
        self.unnamed_headers = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        self.external += [v for n, v in attrs if n in ("src", "href") and not v.startswith(("/run", "?", "#", "data:"))]
        self.handlers += [name for name in values if name.startswith("on") or name == "style"]
        self.unnamed_headers += tag == "th" and "scope" not in values
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", [*EVERY_PAGE, "/run/task?task=expert-0", f"/run/verdict?lease={ADAS_LEASE}"])
def test_a_page_is_well_formed_and_for_every_reader(site, path):
    answer = site.ask(path)
    assert answer.status == 200, answer.text
    page = Reader(answer.text)
    assert page.open == []
    assert sorted(set(page.ids)) == sorted(page.ids), "ids are unique"
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False))
    assert {"main", "header"} <= set(page.tags)
    assert (page.external, page.handlers, page.unnamed_headers) == ([], [], 0)
    assert len(answer.body) < 100_000


def test_the_policy_allows_nothing_but_our_own_files(site):
    policy = site.ask("/run").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for path in ("/run", "/run/assets/page.js", "/run/pictures/data/clusters.png", "/run/none"):
        headers = site.ask(path).headers
        if path != "/run/none":
            assert (headers["content-security-policy"], headers["x-content-type-options"]) == (policy, "nosniff")


def test_the_board_says_who_does_what(site):
    text = site.ask("/run").text
    assert "1 of 2 experts registered, 50.0% of all steps verified." in text
    assert re.search(r'expert-1</a></th>\s*<td><span class="state" data-state="training">', text)
    only = site.ask("/run?state=registered").text
    assert "expert-0</a></th>" in only
    assert "expert-1</a></th>" not in only


def audited(state):
    """The state after eve's audit of ada's work was right."""
    audit = AuditState(
        lease_id="e" * 32, leg=ADAS_LEASE, task_id="expert-0", volunteer="e" * 64, name="eve", start_step=0,
        end_step=25, nonce="b" * 64, granted_at=1.0, outcome="right",
    )  # fmt: skip
    return replace(state, audits={audit.lease_id: audit}), []


def test_the_leaderboard_names_those_who_only_audited(run):
    change(run, audited)
    with served(run) as site:
        text = site.ask("/run/leaderboard").text
    assert re.search(r'eve .*<td class="number">0</td><td class="number">25</td>', text)


def test_a_verdict_comes_with_its_evidence(site):
    text = site.ask(f"/run/verdict?lease={ADAS_LEASE}").text
    for rung in ("envelope", "structure", "novelty", "skill"):
        assert f'<th scope="row">{rung}</th>' in text
    assert "fall of the held-out loss on cluster 0 against the initial weights" in text
    assert "<h2>Every check</h2>" in text, "the report of the verification is kept"


def test_skill_is_shown_as_the_verifications_and_the_router_measured_it(site, run):
    nothing = site.ask("/run/skill").text
    assert "No verified work has scores yet." in nothing, "the report is of a version that kept none"
    assert "The router is not trained yet." in nothing
    path = run / "verify" / ADAS_LEASE / "report.json"
    scores = {"step": 3000, "training_loss": 0.25, "heldout": {"0": [0.25, 0.5], "1": [1.0]}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "scores": scores}))
    (run / "router").mkdir(exist_ok=True)
    triples = [[0.0, 0.5, 0.875], [0.5, 1.0, 0.25]]
    report = {"accuracy_by_noise": triples, "calibration_by_noise": triples, "chance": 0.5}
    (run / "router" / "report.json").write_text(json.dumps(report))
    with served(run) as with_scores:
        text = with_scores.ask("/run/skill").text
    cells = r'expert-0</a></th><td class="number">3,000</td><td class="number" data-near="3" data-own>0.375<'
    assert re.search(cells, text)
    assert "1 of 1 experts are the best of these" in text
    assert re.search(r"0.0 to 0.5</th>.*87.5%.*0.875</td>", text)


def test_the_grids_of_samples_are_shown_by_time_and_the_newest_to_the_world_too(run):
    with served(run) as site:
        assert "<code>[page] samples = true</code>" in site.ask("/run/samples").text
    (run / "progress").mkdir()
    grid = Grid(rows=(GridRow(task_id="expert-0", step=3000, lease_id=ADAS_LEASE),), prompts=(EVIL,), seeds=(0,))
    for time in (1796067000, 1796068000, 1796069000):
        grid_file(run, time).write_bytes((run / "data" / "clusters.png").read_bytes())
        write_grid(run, time, grid)
    with served(run) as site:
        newest = site.ask("/run/samples").text
        assert 'src="/run/pictures/progress/grid-1796069000.png"' in newest
        assert "expert-0 at step 3,000. Each expert draws alone" in newest
        assert "<img src=x" not in newest
        assert newest.count("<li><a href=") >= 3
        then = site.ask("/run/samples?time=1796068500").text
        assert 'src="/run/pictures/progress/grid-1796068000.png"' in then
        assert site.ask("/run/pictures/progress/grid-1796068000.png").status == 200
        assert site.ask("/run/pictures/progress/grid-1796068000.json").status == 404
        public = site.ask("/run/public").text
        assert "progress/grid-1796069000.png" in public
        assert "progress/grid-1796068000.png" not in public


def test_events_are_found_by_kind_and_text(site):
    assert site.ask("/run/events?kind=leased").text.count('<span class="kind"') == 2
    assert site.ask("/run/events?kind=leased&text=TO+ben").text.count('<span class="kind"') == 1
    assert site.ask("/run/events?text=100%25").text.count('<span class="kind"') == 0, "no wildcards"
    assert site.ask("/run/events?before=2").text.count('<span class="kind"') == 1


@pytest.mark.parametrize(
    "path",
    ["/run?page=0", "/run?page=x", "/run?nothing=1", "/run/volunteers?text=" + "x" * 81, "/run/task?task=../keys"],
)
def test_an_address_that_is_not_right_is_refused(site, path):
    answer = site.ask(path)
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")


def test_nothing_of_the_run_directory_but_pictures_can_be_read(site):
    for path in ("data/prepared.json", "keys/run.key", "..%2frun.toml", "data/..%2frun.toml", "hub/admin.token"):
        assert site.ask(f"/run/pictures/{path}").status == 404
        assert site.ask(f"/run/assets/{path}").status == 404
    assert site.ask("/run/pictures/data/clusters.png").body.startswith(b"\x89PNG")


def test_a_hostile_name_is_shown_and_never_carried_out(run):
    def rename(state):
        wants = {key: known.want.model_copy(update={"name": HOSTILE}) for key, known in state.volunteers.items()}
        people = {key: known.model_copy(update={"want": wants[key]}) for key, known in state.volunteers.items()}
        (work,) = state.submissions.values()
        submission = work.submission.model_copy(update={"name": HOSTILE})
        verdict = work.verdict.model_copy(update={"reason": EVIL})
        works = {ADAS_LEASE: work.model_copy(update={"submission": submission, "verdict": verdict})}
        return replace(state, volunteers=people, submissions=works), [Event(EventKind.JOINED, f"{EVIL} joined.")]

    change(run, rename)
    with served(run) as site:
        for path in (*EVERY_PAGE, "/run/task?task=expert-0", f"/run/verdict?lease={ADAS_LEASE}"):
            text = site.ask(path).text
            assert "<img src=x" not in text
            assert "\u202e" not in text, "no mark of direction"
            assert Reader(text).handlers == []
        assert "&#39; onfocus=alert(1) autofocus x=&#34;\\u202e{{7*7}}" in site.ask("/run/volunteers").text
        assert "&lt;img src=x onerror=&#34;alert(1)&#34;&gt;" in site.ask("/run/events").text


def test_pages_of_a_run_without_a_state_say_so(run):
    for name in ("state.sqlite", "state.sqlite-wal", "state.sqlite-shm"):
        (run / name).unlink(missing_ok=True)
    with served(run) as site:
        for path in EVERY_PAGE:
            assert site.ask(path).status == 200
        assert "publish-tasks" in site.ask("/run").text
    assert not (run / "state.sqlite").exists(), "reading makes nothing"


def test_a_state_that_cannot_be_read_is_no_traceback(run):
    with closing(sqlite3.connect(run / "state.sqlite")) as db, db:
        db.execute("ALTER TABLE leases RENAME TO gone")
    with served(run) as site:
        for path in ("/run", "/metrics"):
            answer = site.ask(path)
            assert (answer.status, answer.headers["retry-after"]) == (503, "30")
            assert "leases" not in answer.text


@pytest.mark.parametrize(
    ("release", "shown", "link"),
    [
        (ReleaseState(phase="making"), "A release is being made: it begins at the coordinator&#39;s next step.", ""),
        (ReleaseState(phase="making", note="uploading"), "A release is being made: uploading.", ""),
        (ReleaseState(phase="failed", note=EVIL), "There is no release. &lt;img src=x", ""),
        (ReleaseState(phase="done", note="release-1f0c"), "The model is released as", "/paris/tiny/tree/release-1f0c"),
    ],
)
def test_the_board_says_how_far_a_release_is_and_where_it_lies(run, release, shown, link):
    change(run, lambda state: (replace(state, release=release), []))
    with served(run) as client:
        text = client.ask("/run").text
    assert shown in text
    assert link in text
    assert "kind=release" not in text, "an expert is missing"


def whole(state):
    """The state with ben's expert registered, too."""
    ours, others = state.tasks["expert-0"], state.tasks["expert-1"]
    task = others.task.model_copy(update={"state": ours.task.state})
    done = others.model_copy(update={"task": task, "registration": ours.registration, "lease_id": None})
    return replace(state, tasks={**state.tasks, "expert-1": done}), []


def test_the_public_page_asks_nobody_to_join_once_all_experts_are_registered(run):
    state, tag = change(run, whole), "release-1f0c9b7a52d3"
    with served(run) as client:
        waiting = client.ask("/run/public").text
        assert "The release is not out yet." in waiting
        assert not re.search(r"paris-node join|Join with", waiting)
    digest = state.tasks["expert-0"].registration.sha256
    (run / "released.json").write_text(json.dumps({"tag": tag, "experts": [digest, digest]}))
    with served(run) as client:
        by_command = client.ask("/run/public").text
    (run / "released.json").unlink()
    change(run, lambda state: (replace(state, release=ReleaseState(phase="done", note=tag)), []))
    with served(run) as client:
        by_page = client.ask("/run/public").text
    for text in (by_command, by_page):
        assert f'/paris/tiny/tree/{tag}">{tag}</a>' in text
        assert re.search(rf"paris-coord sample .*--model paris/tiny .*--revision {tag}</code>", text)
        assert "paris-node join" not in text
