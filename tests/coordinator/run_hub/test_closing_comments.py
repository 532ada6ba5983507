"""The comment that closes a pull request: its first line is the outcome; names in it have no meaning in Markdown."""

from __future__ import annotations

from paris.coordinator.hub.pages.cards import markdown, markdown_line
from paris.coordinator.hub.pages.links import Links
from paris.coordinator.run_hub.comments import registered_as, stored_as, verdict_text
from paris.protocol.hub_layout import VERDICT_MARK
from paris.protocol.run_records import Head, Registration, SubmittedFile
from paris.protocol.work_records import Rung, Verdict

COMMIT, SHA256 = "c0" * 20, "5a" * 32
LINKS = Links("", "lab/run")
NOTE = "of `a` | [x](javascript:y) ![p](q.png) <b>\n| 2 |"


def verdict(*, accepted: bool, note: str = "") -> Verdict:
    rung = Rung(rung="skill", passed=accepted, figure=0.12345, bound=0.5, note=note)
    return Verdict(
        lease_id="1e" * 16,
        task_id="expert-3",
        attempt=1,
        volunteer="ab" * 32,
        accepted=accepted,
        rungs=(rung,),
        reason="the loss is | 0.5",
        credit_steps=100 if accepted else None,
    )


def test_registered_work_says_where_it_is():
    registration = Registration(
        task_id="expert-3",
        cluster=3,
        repo="lab/run",
        commit=COMMIT,
        path="expert_3/diffusion_pytorch_model.safetensors",
        sha256=SHA256,
        bytes=1,
        steps=100,
        volunteer="ab" * 32,
        volunteer_name="ada",
        lease_id="1e" * 16,
    )
    text = verdict_text(verdict(accepted=True), registered_as(registration), "{}")
    shown = markdown_line(text, LINKS)
    link = f'<a href="/lab/run/commit/{COMMIT}" rel="nofollow noopener"><code>{COMMIT[:12]}</code></a>'
    assert shown == f"<strong>Registered</strong> as expert-3 in {link}."
    assert f"sha256 `{SHA256}`" in text
    assert "Credit: 100 steps." in text
    assert text.endswith(f"\n{VERDICT_MARK}{{}}")


def test_a_stored_leg_says_which_state_it_became():
    file = SubmittedFile(path="a", sha256=SHA256, bytes=1)
    head = Head(step=400, loss=0.1, previous="0" * 64, commitment="1" * 64, commit=COMMIT, files=(file, file, file))
    text = stored_as("expert-3", head, "lab/run")
    assert text == f"**Stored** as the state of expert-3 at step 400 in [`{COMMIT[:12]}`](/lab/run/commit/{COMMIT})."


def test_names_that_volunteers_chose_make_no_cell_and_no_link():
    text = verdict_text(verdict(accepted=False, note=NOTE), None, "{}")
    assert text.startswith("**Rejected**: the loss is \\| 0.5\n")
    shown = markdown(text, LINKS)
    assert shown.count("<tr>") == 2
    assert shown.count("<td") == 5
    assert "of `a` | [x](javascript:y) ![p](q.png) &lt;b&gt; | 2 |" in shown
    assert "<a " not in shown
    assert "<img" not in shown
