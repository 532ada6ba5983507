"""What the page shows, what its forms do, and how it changes by itself."""

from __future__ import annotations

import json
import math
from xml.etree import ElementTree

import pytest
from own_page_world import served
from units import RUN, make_unit

from paris.node.machine.config import NodeConfig
from paris.node.machine.drawings import DrawingsIndex
from paris.node.machine.home import Home
from paris.node.page.chart import chart, thinned
from paris.node.page.content import settings_in_force
from paris.node.view import EventKind
from paris.node.view.course import MOST_POINTS, Course

EVIL = "<script>alert(1)</script>\u202e\x1b[31m"


def test_the_page_shows_the_state_the_work_and_the_machine(shared_page):
    text = shared_page.ask("/").text
    for shown in (
        '<span role="status" class="state" data-state="training">expert-0: training',
        "Step 210 of 300",
        'value="0.5500"',
        "<dt>leg</dt><dd>100 to 300 of 400",
        "<dt>loss</dt><dd>0.004762",
        "2.50 steps/s",
        "<dt>to go</dt><dd>5 minutes",
        "<dt>snapshot</dt><dd>step 200, <time datetime=",
        "<dt>peers</dt><dd>3",
        "61 &deg;C",
        "187 W",
        "<dt>credited</dt><dd>20 steps",
        "1 accepted, 10 steps credited",
        '<th scope="row">expert-0-1</th>',
        "Loss from 0.009091 at step 110 to 0.004762 at step 210",
        "<code>not_while</code>",
    ):
        assert shown in text, shown


def test_pages_of_several_devices_have_titles_of_their_own(tmp_path):
    for name, shown in (("cuda:1", "cuda:1"), ("cpu-2", "cpu-2")):
        with served(Home(tmp_path).of_device(name).path) as world:
            world.enter()
            text = world.ask("/").text
        assert f"<title>{shown}: ada - Paris</title>" in text
        assert f"<strong>ada, {shown}</strong>" in text


def test_texts_of_strangers_are_escaped(page):
    page.event(EventKind.JOINED, run_id=RUN, name=EVIL, hardware=EVIL, device="cpu", identity="ab", credit_steps=0)
    page.event(EventKind.LEASE_LOST, task_id="expert-0", reason=EVIL)
    page.site.home.log.parent.mkdir(parents=True)
    page.site.home.log.write_text(f"INFO {EVIL}\n")
    page.site.home.unit_folder(RUN, "expert-1", 1).save(
        make_unit("expert-1").model_copy(update={"state": "dropped", "reason": EVIL})
    )
    text = page.ask("/").text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 5
    assert [bad in text for bad in ("<script>alert", "\u202e", "\x1b")] == [False, False, False]


def test_drawings_are_shown_by_step_and_no_other_file_is(page):
    drawings = page.site.home.drawings(RUN, "expert-0")
    assert "What the expert draws" not in page.ask("/").text
    drawings.begin(DrawingsIndex(captions=(EVIL,) * 8, is_latent=True, problem=EVIL), 0)
    assert "Nothing has been drawn yet" in page.ask("/").text
    drawings.save(50, b"first")
    drawings.save(100, b"second")
    text = page.ask("/").text
    assert 'id="drawn" src="/pictures/expert-0/100.png"' in text
    assert 'data-steps="[50, 100]"' in text
    assert "three of their channels are shown as colours" in text
    assert "<script>alert" not in text
    assert 'id="drawn" src="/pictures/expert-0/50.png"' in page.ask("/?step=50").text
    picture = page.ask("/pictures/expert-0/50.png")
    assert (picture.status, picture.text, picture.headers["Content-Type"]) == (200, "first", "image/png")
    for path in ("expert-0/51.png", "expert-1/50.png", "..%2fexpert-0/50.png", "expert-0/index.png", "%2e%2e/50.png"):
        assert page.ask(f"/pictures/{path}").status == 404, path


def test_the_log_and_the_events_are_shown_without_secrets(page):
    secret = "hf_" + "a" * 24
    page.site.home.log.parent.mkdir(parents=True)
    page.site.home.log.write_text("first\n" * 100 + f"token {secret}\n")
    page.event(EventKind.NOTE, text=f"The Hub refused {secret}.")
    text = page.ask("/").text
    assert secret not in text
    assert "token [secret]" in text
    assert "The Hub refused [secret]." in text
    assert text.count("first") == 39


def test_forms_do_what_the_control_socket_does(page):
    wishes = page.site.wishes
    assert page.post("/control", command="pause", **{"for": "2h"}).status == 303
    assert wishes.why_paused().until is not None
    assert page.post("/control", command="pause").status == 303
    assert wishes.why_paused().until is None
    assert page.post("/control", command="resume").status == 303
    assert wishes.why_paused() is None
    assert page.post("/control", command="finish").status == 303
    assert wishes.is_finishing
    assert "hands in its leg at the next snapshot" in page.ask("/").text
    assert page.post("/control", command="leave").status == 303
    assert (wishes.is_leaving, wishes.stop.is_set) == (True, True)


def test_a_form_that_is_none_changes_nothing(page):
    for fields in ({"command": "status2"}, {"command": "pause", "extra": "1"}, {}, {"command": "pause", "for": "soon"}):
        answer = page.post("/control", **fields)
        assert (answer.status, "Nothing was changed" in answer.text) == (400, True)
    assert page.ask("/control").status == 405
    assert page.site.wishes.why_paused() is None


def test_a_node_that_has_not_joined_says_so_and_refuses_to_leave(tmp_path):
    with served(tmp_path, joins=False) as page:
        page.enter()
        assert 'data-state="joining">joining<' in page.ask("/").text
        answer = page.post("/control", command="leave")
    assert answer.status == 409
    assert "has not reached the run&#39;s peers yet" in answer.text


def read_event(stream) -> dict:
    while True:
        line = stream.readline()
        if line.startswith(b"data: "):
            return json.loads(line[6:])


def test_what_changes_is_sent_and_what_stays_is_not(page):
    stream = page.request("/stream")
    assert stream.headers["Content-Type"].startswith("text/event-stream")
    first = [read_event(stream)["id"] for _ in range(8)]
    assert sorted(first) == ["curve", "happenings", "history", "log", "pictures", "run", "state", "work"]
    page.event(EventKind.NOTE, text="Something new.")
    changed = {event["id"]: event["html"] for event in (read_event(stream), read_event(stream))}
    assert sorted(changed) == ["happenings", "state"]
    assert "Something new." in changed["happenings"]


def test_a_stream_ends_with_its_session(page):
    stream = page.request("/stream")
    read_event(stream)
    page.post("/out")
    stream.read()  # to its end
    assert page.ask("/stream").status == 401


def test_only_so_many_windows_are_live(page):
    streams = [page.request("/stream") for _ in range(8)]
    for stream in streams:
        stream.readline()
    assert page.ask("/stream").status == 503


def test_the_course_stays_small_and_forgets_what_is_trained_again():
    course = Course(lambda: 1.0)
    for step in range(1, 3 * MOST_POINTS):
        course.note(EventKind.TRAINING, {"loss": 1.0, "step": step})
    steps = [step for step, _ in course.so_far.points]
    assert len(steps) <= MOST_POINTS
    assert (steps, steps[-1]) == (sorted(steps), 3 * MOST_POINTS - 1)
    course.note(EventKind.TRAINING, {"loss": 2.0, "step": 50})
    assert course.so_far.points[-1] == (50, 2.0)
    assert all(step <= 50 for step, _ in course.so_far.points)


def test_a_curve_of_many_points_is_drawn_by_means_and_one_of_one_is_not_drawn():
    assert thinned([(step, float(step)) for step in range(1, 9)], 4) == [(2, 1.5), (4, 3.5), (6, 5.5), (8, 7.5)]
    assert chart([(1, 1.0)]) == ""
    assert "to 1 at step 2" in chart([(1, 1.0), (2, 1.0)])


@pytest.mark.parametrize(("low", "high"), [(0.0, 5e-324), (0.5, math.nextafter(0.5, 1)), (3e38, 3e38)])
def test_losses_that_hardly_differ_are_drawn(low, high):
    drawn = ElementTree.fromstring(str(chart([(1, low), (2, high)])))
    assert len(drawn.findall(".//text[@class='loss']")) >= 2


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_not_finite_is_no_point_of_the_curve(loss):
    course = Course()
    for step, value in enumerate((1.0, loss, 2.0), start=1):
        course.note(EventKind.TRAINING, {"loss": value, "step": step})
    assert course.so_far.points == ((1, 1.0), (3, 2.0))
    assert "to 2 at step 3" in chart(course.so_far.points)


def test_the_settings_shown_are_the_manners_and_what_differs():
    shown = dict(settings_in_force(NodeConfig(threads=3, not_while=("blender",), page=True)))
    assert (shown["threads"], shown["not_while"], shown["hours"], shown["keep_awake"]) == (
        "3",
        "blender",
        "not set",
        "yes",
    )
    assert [name in shown for name in ("device", "page", "hub_token_file")] == [False, False, False]


def test_an_upload_is_a_bar_as_long_as_it_goes_on(page):
    page.event(EventKind.UPLOADING, task_id="expert-0", num_bytes=40_000_000)
    assert "Uploaded" not in page.ask("/").text
    figures = {"sent_bytes": 10_000_000, "num_bytes": 40_000_000, "bytes_per_s": 2e6}
    page.event(EventKind.UPLOADED, task_id="expert-0", **figures)
    text = page.ask("/").text
    assert "Uploaded 10 MB of 40 MB" in text
    assert 'id="sent" max="1" value="0.2500"' in text
    assert "<dt>upload</dt><dd>2 MB/s" in text
    page.event(EventKind.AWAITING_VERDICT, task_id="expert-0")
    assert "Uploaded" not in page.ask("/").text
