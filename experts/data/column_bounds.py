"""How much a column of a Parquet file becomes when it is decoded: decided before it is, by the headers of its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from paris.experts.data.page_headers import Page, read_pages

_ENCODINGS = frozenset({0, 2, 8})
"""Plain, and by a dictionary. Others make much of little: one stores only how a text differs from that before it."""
_MOST_ROWS = 256
_VALUE_BYTES = 4
"""The least that a value takes in memory, an empty one and a null, too: the offset of a text, an int32."""


class TooLargeError(Exception):
    """The column may become larger than the bound."""


def rows_at_once(path: Path, footer: pq.FileMetaData, name: str, limit_bytes: int) -> int:
    """How many rows of a column may be decoded together, so that they stay within the bound even if they are lies.

    A value of a dictionary is stored once and may be meant in every row: so many rows that the largest value fits.

    Args:
        path: The Parquet file.
        footer: Its metadata.
        name: The column; a list, too.
        limit_bytes: Of the whole column, decoded.

    Returns:
        1 to 256.

    Raises:
        TooLargeError: The pages take more than the bound.
        ValueError: They are not readable, or encoded in a way that shards do not use.
    """
    total_bytes = num_values = dictionary_bytes = 0
    is_list_of_texts = False
    for chunk, page in _pages(path, footer, name):
        is_list_of_texts |= chunk.path_in_schema != name and chunk.physical_type == "BYTE_ARRAY"
        total_bytes += page.uncompressed_bytes
        if page.encoding not in _ENCODINGS:
            raise ValueError(f"shards have no encoding {page.encoding}")
        if page.is_dictionary:
            dictionary_bytes = max(dictionary_bytes, page.uncompressed_bytes)
        else:
            num_values += page.num_values
        if max(total_bytes, num_values * _VALUE_BYTES) > limit_bytes:
            raise TooLargeError
    if is_list_of_texts and num_values * dictionary_bytes > limit_bytes:  # one row may have all of them
        raise TooLargeError
    return max(1, min(_MOST_ROWS, limit_bytes // max(1, dictionary_bytes)))


def _pages(path: Path, footer: pq.FileMetaData, name: str) -> Iterator[tuple[pq.ColumnChunkMetaData, Page]]:
    data = np.memmap(path, np.uint8, "r").data
    for group in map(footer.row_group, range(footer.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema.split(".")[0] == name:
                begin = chunk.data_page_offset
                if chunk.has_dictionary_page and 0 < chunk.dictionary_page_offset < begin:
                    begin = chunk.dictionary_page_offset
                if not 0 <= begin <= begin + chunk.total_compressed_size <= len(data):
                    raise ValueError("its pages lie outside of the file")
                for page in read_pages(data[begin : begin + chunk.total_compressed_size]):
                    yield chunk, page
