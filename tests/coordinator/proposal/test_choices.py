"""Each choice of `init --data`, as a function of what a survey found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paris.coordinator.errors import ConfigError
from paris.coordinator.prepare.config import prepare_config
from paris.coordinator.prepare.errors import PrepareConfigError, TooFewRowsError
from paris.coordinator.prepare.sources.settings import FolderSource, HubSource
from paris.coordinator.proposal.asking import answered, caption_wish, open_questions, require_answered
from paris.coordinator.proposal.choices import Proposal, Wishes, propose
from paris.coordinator.proposal.contradictions import contradictions
from paris.coordinator.proposal.errors import UndecidedError
from paris.coordinator.proposal.findings import Captions, Pictures, Survey
from paris.coordinator.proposal.showing import survey_lines
from paris.coordinator.proposal.sizing import experts_for, heldout_for, side_for
from paris.coordinator.proposal.wish_checks import require_possible
from paris.coordinator.run.shapes import expert_shape, router_shape
from paris.protocol.errors import ParisError

CAPTIONED = Captions(own=300, classes_only=0, without=0, distinct=12, several=0, words_p95=7, language="English")


def found(rows: int = 300, side: int = 72, **other: object) -> Survey:
    """A survey of square pictures with captions, under one licence."""
    captions = replace(CAPTIONED, own=rows, examples=("a red disc",))
    pictures = Pictures(sampled=100, sides=(side,) * 100, aspects=(1.0,) * 100)
    source = FolderSource(path=Path("/srv/My Photos"), name="My-Photos")
    survey = Survey(source, "/srv/My Photos", rows, {}, captions, pictures, {"cc-by-4.0": rows}, 0)
    return replace(survey, **other)  # type: ignore[arg-type]


def why(proposal: Proposal, setting: str) -> str:
    return next((reason.why for reason in proposal.reasons if reason.setting == setting), "")


@pytest.mark.parametrize(
    ("rows", "experts"), [(39, 1), (40, 2), (300, 2), (1500, 4), (4000, 8), (23_999, 8), (60_000, 16), (10**7, 16)]
)
def test_the_number_of_experts_grows_with_the_rows(rows: int, experts: int) -> None:
    assert experts_for(rows) == experts
    assert propose(found(rows)).config.run.num_experts == experts


def test_an_experts_batch_steps_and_held_out_rows_grow_with_the_rows() -> None:
    configs = [propose(found(rows)).config for rows in (300, 5000, 100_000)]
    assert [config.expert_training["batch_size"] for config in configs] == [8, 16, 32]
    assert [config.tasks.steps for config in configs] == [2000, 4000, 10_000]
    assert [config.data["heldout_rows"] for config in configs] == [12, 32, 313]
    assert heldout_for(20) == 5


def test_the_side_is_the_largest_that_nine_in_ten_pictures_reach() -> None:
    mixed = Pictures(sampled=100, sides=(*(40,) * 9, *(50,) * 41, *(300,) * 50))
    assert [side_for(Pictures(100, (side,) * 100)) for side in (300, 63, 28, 15)] == [64, 48, 28, 0]
    proposal = propose(found(pictures=mixed))
    assert proposal.config.data["image_size"] == 48
    assert proposal.config.data["min_side_px"] == 48  # the nine smaller ones are left out, and it is said
    assert "--size 64 would leave out 50%" in why(proposal, "data.image_size")
    assert why(proposal, "data.min_side_px") == "9% of the sampled pictures are smaller, and are left out."


def test_model_and_router_have_the_side_of_the_pictures() -> None:
    for side, rows in ((24, 300), (28, 300), (28, 5000), (64, 300), (64, 5000)):
        config = propose(found(rows, side)).config
        assert expert_shape(config).image_size == side
        assert router_shape(config, reads_prompt=False).image_size == side
        assert contradictions(config) == []


def test_a_side_above_most_pictures_is_refused() -> None:
    with pytest.raises(PrepareConfigError, match="100% of the sampled pictures have a side below 256 px") as error:
        propose(found(), Wishes(size=256))
    assert error.value.next_step == "Give --size 64."
    with pytest.raises(PrepareConfigError, match="The pictures are too small"):
        propose(found(side=10))
    with pytest.raises(PrepareConfigError, match="no multiple of 4"):
        propose(found(), Wishes(size=50))


def test_a_sample_of_which_nothing_can_be_used_says_why() -> None:
    flat = Pictures(sampled=8, faults={"one colour": 8})
    with pytest.raises(PrepareConfigError, match="None of 8 sampled pictures can be used: 8 one colour"):
        propose(found(8, pictures=flat))


def test_fewer_than_twenty_pictures_an_expert_are_refused() -> None:
    with pytest.raises(TooFewRowsError, match="16 experts need 320 pictures at the least, 300"):
        propose(found(), Wishes(experts=16))
    for wished in (None, 2):
        with pytest.raises(TooFewRowsError, match=r"needs? (20|40)") as error:
            propose(found(8), Wishes(experts=wished))
        assert error.value.next_step == "Add pictures.", "no number of experts fits so few"
    assert propose(found(), Wishes(experts=15)).config.run.num_experts == 15


def test_rows_that_cannot_be_decoded_do_not_count() -> None:
    half = Pictures(sampled=100, sides=(72,) * 50, aspects=(1.0,) * 50, faults={"unreadable picture": 50})
    assert propose(found(1500, pictures=half)).config.run.num_experts == 2


def test_classes_are_captions_where_most_pictures_have_no_other() -> None:
    classes = Captions(0, 300, 0, 3, 0, class_names={"cat": 150, "dog": 150}, words_p95=1)
    config = propose(found(captions=classes)).config
    assert config.data["source"]["class_captions"] is True
    assert config.sampling.prompts == ["cat", "dog"]
    mostly_own = replace(classes, own=200, classes_only=100)
    assert propose(found(captions=mostly_own)).config.data["source"]["class_captions"] is False
    assert propose(found(captions=mostly_own), Wishes(captions="class")).config.data["source"]["class_captions"]


def test_pictures_left_out_for_want_of_a_caption_are_named() -> None:
    half = found(captions=replace(CAPTIONED, own=160, classes_only=40, without=100))
    assert why(propose(half), "data.captioner").startswith("140 of 300 pictures have no caption")
    assert why(propose(half, Wishes(captions="class")), "data.captioner").startswith("100 of 300")
    assert why(propose(half, Wishes(captions="none")), "data.captioner") == ""
    with pytest.raises(TooFewRowsError) as error:
        propose(half, Wishes(experts=10))
    assert error.value.next_step.startswith("140 have no caption: give --captioner MODEL")


def test_pictures_without_captions_need_a_decision() -> None:
    bare = found(captions=Captions(0, 300, 0, 1, 0, class_names={"images": 300}, fields_seen=("artist", "prompt")))
    with pytest.raises(UndecidedError, match="None of the 300 pictures") as error:
        propose(bare)
    assert "Their fields are artist, prompt" in error.value.next_step
    assert "--captioner MODEL, or --captions none" in error.value.next_step
    assert propose(bare, Wishes(captioner="models/blip2")).config.data["captioner"] == "models/blip2"


def test_without_captions_nothing_of_the_run_concerns_text() -> None:
    bare = found(captions=Captions(0, 0, 300, 0, 0))
    for wishes in (Wishes(captions="none"), Wishes(captions="none", recipe="emoji")):
        config = propose(bare, wishes).config
        assert (config.text, config.reads_text) == ({"kind": "none"}, False)
        assert "caption_dropout" not in config.training
        assert (config.sampling.prompts, config.sampling.guidance_scale) == ([], 1.0)
    with pytest.raises(ConfigError, match="exclude each other"):
        propose(bare, Wishes(captions="none", captioner="blip"))


def test_a_licence_comes_from_the_pictures_the_card_or_the_organiser() -> None:
    assert propose(found()).config.run.licence == "cc-by-4.0"
    unknown = found(licences={"unknown": 300})
    assert propose(unknown).config.run.licence == "unknown"
    assert "right to publish" in why(propose(unknown), "data.source.licence")
    told = propose(unknown, Wishes(licence="CC0")).config
    assert (told.run.licence, told.data["source"]["licence"]) == ("cc0-1.0", "cc0-1.0")
    mixed = propose(found(licences={"mit": 10, "cc0-1.0": 290})).config
    assert mixed.run.licence == "other"
    carded = propose(replace(unknown, card_licence="Apache-2.0")).config
    assert carded.data["source"]["licence"] == "apache-2.0"


def test_a_data_set_of_a_hub_without_licence_is_refused() -> None:
    far = found(licences={"unknown": 300}, source=HubSource(repo="lab/photos", revision="0" * 40))
    with pytest.raises(UndecidedError, match="The data set lab/photos states no licence for 300"):
        propose(far)
    assert propose(far, Wishes(licence="unknown")).config.run.licence == "unknown"


def test_pictures_without_a_licence_are_counted_where_others_state_one() -> None:
    some = found(120, licences={"cc-by-4.0": 100, "unknown": 20})
    assert why(propose(some), "data.source.licence").startswith("20 of 120 pictures state none; publish only")
    assert why(propose(found(licences={"unknown": 300})), "data.source.licence").startswith("Nothing states one;")


def test_the_field_of_the_captions_is_explained() -> None:
    source = FolderSource(path=Path("/x"), name="x", caption_column="prompt")
    told = "300 of 300 pictures have a caption, such as 'a red disc'; --captions names another field."
    assert why(propose(found(source=source)), "data.source.caption_column") == told
    assert why(propose(found()), "data.source.caption_column") == ""
    assert why(propose(found(source=source), Wishes(captions="none")), "data.source.caption_column") == ""


@pytest.mark.parametrize(
    ("wishes", "message", "step"),
    [
        (Wishes(recipe="nosuch"), "nosuch", ""),
        (Wishes(name="No!"), "Invalid run name 'No!'", ""),
        (Wishes(size=10), "The size 10 is no multiple of 4.", "Give --size 8 or 12."),
        (Wishes(size=40, recipe="dit-b-256"), "The size 40 is no multiple of 32.", "Give --size 32 or 64."),
        (Wishes(size=7), "--size is 7.", "Give 8 px or more."),
        (Wishes(experts=1025), "--experts is 1025.", "Give 1 to 1024."),
        (Wishes(captions="none", captioner="x"), "--captions none and --captioner exclude each other", ""),
    ],
)
def test_wishes_that_no_pictures_can_meet_need_no_pictures(wishes: Wishes, message: str, step: str) -> None:
    with pytest.raises(ParisError) as error:
        require_possible(wishes)
    assert message in error.value.what
    assert error.value.next_step == step or not step


def test_one_picture_is_no_plural() -> None:
    one = found(1, captions=Captions(0, 0, 1, 0, 0, fields_seen=("a\nb",)), pictures=Pictures(1, (72,), (1.0,)))
    with pytest.raises(UndecidedError, match=r"Not the one picture of /srv/My Photos has a caption") as error:
        propose(one)
    assert "Their fields are a b:" in error.value.next_step
    assert dict(survey_lines(one))["captions"].startswith("0 of 1 (0%) have their own; 1 has none")


def test_pictures_that_cannot_be_decoded_are_not_counted_as_decoded() -> None:
    sample = Pictures(61, (72,) * 60, (1.0,) * 60, faults={"unreadable picture": 1}, duplicates=2)
    assert dict(survey_lines(found(pictures=sample)))["sample"] == ("60 of 61 decoded, 58 usable; 1 unreadable picture")


def test_near_duplicates_and_long_pictures_are_left_out_where_there_are_some() -> None:
    pictures = Pictures(100, (72,) * 100, (*(1.0,) * 96, *(4.0,) * 4), near_duplicates=5)
    data = propose(found(pictures=pictures)).config.data
    assert (data["near_duplicate_bits"], data["max_aspect"]) == (6, 3.0)
    plain = propose(found()).config.data
    assert "near_duplicate_bits" not in plain
    assert "max_aspect" not in plain


def test_the_text_is_as_long_as_the_captions() -> None:
    lengths = [propose(found(captions=replace(CAPTIONED, words_p95=words))).config.text for words in (1, 20, 300)]
    assert [text["max_tokens"] for text in lengths] == [8, 20, 32]


def test_the_name_is_that_of_the_folder_or_the_wished_one() -> None:
    config = propose(found()).config
    assert (config.run.name, config.hub.model_repo) == ("my-photos", "paris/my-photos")
    assert propose(found(), Wishes(name="cats")).config.run.name == "cats"
    assert propose(found(source=FolderSource(path=Path("/x"), name="日本"))).config.run.name == "pictures"
    with pytest.raises(ConfigError, match="Invalid run name"):
        propose(found(), Wishes(name="Cats!"))


def test_a_deadline_is_four_times_the_work_of_a_slow_machine() -> None:
    short, long = (propose(found(5000), Wishes(steps=steps)).config.tasks for steps in (10, 20_000))
    assert short.deadline_s == 1800
    assert long.deadline_s == pytest.approx(
        2 * propose(found(5000), Wishes(steps=10_000)).config.tasks.deadline_s, rel=0.01
    )
    assert 0 < long.grace_s < long.deadline_s


def test_a_recipe_keeps_its_training_and_takes_the_data() -> None:
    config = propose(found(), Wishes(recipe="emoji")).config
    assert config.run.num_experts == 2
    assert config.training["total_batch_size"] == 16  # eight rows an expert, as in the recipe
    assert config.tasks.steps == 2300
    assert config.data["image_size"] == 24
    assert config.data["source"]["kind"] == "folder"


def test_a_recipe_of_latents_keeps_its_size_and_has_steps_for_the_rows() -> None:
    config = propose(found(40_000, 300), Wishes(recipe="dit-b-256")).config
    assert (config.data["image_size"], expert_shape(config).image_size) == (256, 32)
    assert config.run.num_experts == 8
    assert config.tasks.steps == 40_000  # a fifth of the recipe's, for a twenty-fifth of its pictures
    assert config.tasks.deadline_s == pytest.approx(1209600 / 5)
    with pytest.raises(PrepareConfigError, match="have a side below 256 px") as error:
        propose(found(40_000, 200), Wishes(recipe="dit-b-256"))
    assert error.value.next_step == "Give --size 192."
    assert expert_shape(propose(found(40_000, 200), Wishes(recipe="dit-b-256", size=192)).config).image_size == 24


def test_every_proposal_is_data_that_prepare_takes() -> None:
    for rows in (40, 300, 5000):
        config = prepare_config(propose(found(rows), Wishes(max_rows=rows - 1)).config.data)
        assert config.max_images == rows - 1


def test_questions_are_asked_for_what_nothing_tells() -> None:
    known, unknown = found(), found(licences={"unknown": 300})
    assert open_questions(known, Wishes()) == []
    (question,) = open_questions(unknown, Wishes())
    assert (question.option, question.default) == ("--licence", "unknown")
    assert require_answered(unknown, Wishes(), accept_defaults=True) == {"--licence": "unknown"}
    with pytest.raises(UndecidedError, match="Licence of the 300 pictures") as error:
        require_answered(unknown, Wishes(), accept_defaults=False)
    assert error.value.next_step == "Give --licence ...; --yes takes --licence unknown."
    bare = replace(unknown, captions=Captions(0, 300, 0, 1, 0, class_names={"images": 300}))
    with pytest.raises(UndecidedError, match=r"None of the 300 pictures.* Licence of the 300") as error:
        require_answered(bare, Wishes(), accept_defaults=False)
    assert all(option in error.value.next_step for option in ("--captions none", "--licence ...")), "both at once"
    assert answered(Wishes(), {"--licence": "mit", "--captions": "prompt"}) == (Wishes(licence="mit"), "prompt")
    assert [caption_wish(text) for text in ("none", "prompt")] == [("none", None), (None, "prompt")]
