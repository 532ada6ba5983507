"""BLIP and BLIP-2 models of the real classes, tiny and untrained, saved as their makers save them."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessorPil,
    BlipProcessor,
)

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "red", "blue", "dog", "cat", "on", "the", "sea"]
_SIDE_PX = 32
_SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def save_blip(folder: Path, *, is_mute: bool = False) -> None:
    text = {"vocab_size": len(WORDS), "encoder_hidden_size": 16, "max_position_embeddings": 64, **_SMALL}
    ids = {"bos_token_id": 5, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3}
    config = BlipConfig(
        text_config={**text, **ids},
        vision_config={"image_size": _SIDE_PX, "patch_size": 16, **_SMALL},
        projection_dim=16,
    )
    torch.manual_seed(0)
    model = BlipForConditionalGeneration(config)
    if is_mute:  # the first word is the end
        model.text_decoder.cls.predictions.bias.data[3] = 1e4
    model.save_pretrained(folder)
    BlipProcessor(_pictures(), _words(folder)).save_pretrained(folder)


def save_blip2(folder: Path) -> None:
    opt = {"model_type": "opt", "vocab_size": len(WORDS), "ffn_dim": 32, "word_embed_proj_dim": 16, **_SMALL}
    ids = {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3, "max_position_embeddings": 128}
    config = Blip2Config(
        text_config={**opt, **ids},
        vision_config={"image_size": _SIDE_PX, "patch_size": 16, **_SMALL},
        qformer_config={"vocab_size": len(WORDS), "encoder_hidden_size": 16, **_SMALL},
        num_query_tokens=4,
        image_token_index=4,
    )
    torch.manual_seed(0)
    Blip2ForConditionalGeneration(config).save_pretrained(folder)
    Blip2Processor(_pictures(), _words(folder), num_query_tokens=4).save_pretrained(folder)


def _pictures() -> BlipImageProcessorPil:
    return BlipImageProcessorPil(size={"height": _SIDE_PX, "width": _SIDE_PX})


def _words(folder: Path) -> BertTokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"])
