import hashlib
import subprocess
import sys

import pytest
import torch

from paris.experts.errors import SettingsError, TextError
from paris.experts.frozen.text import PromptWarning, TextConfig
from paris.experts.frozen.text_loading import load_text_encoder
from paris.experts.frozen.text_vocabulary import VocabularyEncoder, build_vocabulary, read_vocabulary, write_vocabulary

WORDS = ["arrow", "dog", "heart", "red"]


def config(**change):
    return TextConfig(**{"kind": "vocabulary", "dim": 16, "max_tokens": 3} | change)


@pytest.fixture
def encoder():
    return VocabularyEncoder(config(), WORDS)


def test_a_word_is_the_same_vector_in_every_prompt_and_vocabulary(encoder):
    states, mask = encoder.encode(["red heart", "Heart!"])
    assert torch.equal(states[0, 1], states[1, 0])
    assert mask.tolist() == [[True, True, False], [True, False, False]]
    assert states.shape == (2, 3, 16)
    assert states.dtype == torch.float32
    bigger = VocabularyEncoder(config(), ["aardvark", *WORDS, "zebra"])
    assert torch.equal(bigger.encode(["heart"])[0], encoder.encode(["heart"])[0])


def test_vectors_have_unit_variance_and_point_in_different_directions():
    encoder = VocabularyEncoder(config(dim=64), [f"word{n}" for n in range(50)])
    vectors = torch.cat([encoder.encode([f"word{n}"])[0][:, 0] for n in range(50)])
    torch.testing.assert_close(vectors.norm(dim=1), torch.full((50,), 8.0))
    cosines = vectors @ vectors.T / 64
    assert (cosines - torch.eye(50)).abs().max() < 0.65


def test_another_process_makes_the_same_vectors(tmp_path, encoder):
    write_vocabulary(tmp_path / "vocab.json", WORDS)
    code = (
        "import sys, pathlib, hashlib; from paris.experts.frozen.text_loading import *;"
        "encoder = load_text_encoder(TextConfig(kind='vocabulary', dim=16, max_tokens=3), pathlib.Path(sys.argv[1]));"
        "states = encoder.encode(['red dog', ''])[0].numpy().tobytes();"
        "print(hashlib.sha256(states).hexdigest(), 'transformers' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True).stdout
    here = hashlib.sha256(encoder.encode(["red dog", ""])[0].numpy().tobytes()).hexdigest()
    assert answer.split() == [here, "False"]


def test_the_null_prompt_is_one_token_of_zeros(encoder):
    states, mask = encoder.encode([""])
    assert mask.tolist() == [[True, False, False]]
    assert not states.any()


def test_unknown_words_are_left_out_with_one_warning_that_names_them(encoder):
    with pytest.warns(PromptWarning, match="2 words.*blue, car") as caught:
        states, mask = encoder.encode(["blue heart", "car", "blue dog"])
    assert len(caught) == 1
    assert torch.equal(states[0], encoder.encode(["heart"])[0][0])
    assert torch.equal(states[1], encoder.encode([""])[0][0])
    assert mask.sum(1).tolist() == [1, 1, 1]


def test_a_prompt_longer_than_the_window_is_cut_with_a_warning(encoder):
    with pytest.warns(PromptWarning, match="1 prompts have more than 3 known words"):
        states, _ = encoder.encode(["red heart dog arrow", "dog"])
    assert torch.equal(states[:1], encoder.encode(["red heart dog"])[0])


def test_a_vocabulary_comes_back_from_disk_sorted_and_checked(tmp_path):
    path = tmp_path / "vocab.json"
    digest = write_vocabulary(path, ["red", "dog", "red"])
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_vocabulary(path, digest) == ["dog", "red"]
    assert build_vocabulary(["Red dog", "DOG, bone"]) == ["bone", "dog", "red"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"[", "not JSON"), (b'{"a":1}', "not a list of words"), (b'["a","a"]', "word twice")],
)
def test_a_bad_vocabulary_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "vocab.json").write_bytes(content)
    with pytest.raises(TextError, match=f"vocab.json.*{message}"):
        load_text_encoder(config(), tmp_path)


def test_a_vocabulary_of_another_digest_is_refused(tmp_path):
    write_vocabulary(tmp_path / "vocab.json", WORDS)
    with pytest.raises(TextError, match=r"the run names 000000000000.*fetch it again"):
        load_text_encoder(config(sha256="0" * 64), tmp_path)


@pytest.mark.parametrize("path", ["/etc/passwd", "../vocab.json", "a/../../b", "", "a//b"])
def test_a_path_that_leaves_the_folder_is_refused(path):
    with pytest.raises(SettingsError, match="path"):
        TextConfig.from_settings({"kind": "vocabulary", "dim": 16, "max_tokens": 3, "path": path})
