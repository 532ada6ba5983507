"""What the pages of a Parquet column become when they are decoded, read from their headers alone.

A page's header says how many bytes and values the page has; a decoder reserves that much before it looks at a page. The
sizes in the file's footer may say something else. Headers are Thrift structs in the compact protocol.

Source: Apache Parquet format, "PageHeader" in parquet.thrift; Apache Thrift, "Thrift Compact protocol".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 0, 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS = (4, 5, 6)
_MAX_DEPTH = 8
_MAX_HEADER_BYTES = 1 << 16
_STRUCT_OF = {0: 5, 2: 7, 3: 8}
"""Field with the page's own header, by the page's type: data, dictionary, data of version 2."""
_ENCODING_IN = {0: 2, 2: 2, 3: 4}
"""Field of that header with the encoding of the values."""
_DICTIONARY = 2


@dataclass(frozen=True)
class Page:
    """One page, by its header."""

    is_dictionary: bool
    """Its values are those that other pages refer to."""
    uncompressed_bytes: int
    """What its decoder reserves."""
    num_values: int
    """With nulls and empty lists."""
    encoding: int
    """By its number in the format: 0 is plain, 2 and 8 refer to a dictionary."""


def read_pages(chunk: memoryview) -> Iterator[Page]:
    """The pages of a column chunk, in order.

    Args:
        chunk: The chunk's bytes in the file, all of them.

    Raises:
        ValueError: They are not pages, one after the other to the end.
    """
    at = 0
    while at < len(chunk):
        reader = _Compact(chunk[at : at + _MAX_HEADER_BYTES])
        header = reader.struct()
        kind, uncompressed, compressed = (_natural(header, name) for name in (1, 2, 3))
        if kind not in _STRUCT_OF:
            raise ValueError(f"it has a page of type {kind}")
        inner = header.get(_STRUCT_OF[kind])
        if not isinstance(inner, dict):
            raise ValueError("a page's header lacks its values")
        yield Page(kind == _DICTIONARY, uncompressed, _natural(inner, 1), _natural(inner, _ENCODING_IN[kind]))
        at += reader.position + compressed
    if at != len(chunk):
        raise ValueError("a page is longer than its column")


def _natural(struct: dict[int, Any], field: int) -> int:
    value = struct.get(field)
    if type(value) is not int or value < 0:
        raise ValueError(f"field {field} of a page's header is {value!r}")
    return value


class _Compact:
    """Reads one struct of the compact protocol; every step forwards is in bounds.

    Args:
        data: Begins with the struct.
    """

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.position = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Fields by number; of a field that comes twice the last, as generated readers do it.

        Raises:
            ValueError: It is no struct.
        """
        fields: dict[int, Any] = {}
        number = 0
        while (head := self._byte()) != _STOP:
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            kind = head & 15
            fields[number] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError("a page's header is too deep")
        if kind in _INTEGERS:
            return self._zigzag()
        if kind in (_TRUE, _FALSE, _BYTE):  # in lists, truth is a byte
            return self._byte()
        if kind in (_DOUBLE, _BINARY):
            self._skip(8 if kind == _DOUBLE else self._varint())
        elif kind in (_LIST, _SET):
            self._list(depth)
        elif kind == _STRUCT:
            return self.struct(depth + 1)
        else:  # maps, too: the format has none in this header
            raise ValueError(f"a page's header has a field of type {kind}")
        return None

    def _list(self, depth: int) -> None:
        head = self._byte()
        count = head >> 4 if head >> 4 < 15 else self._varint()
        for _ in range(count):
            self._value(head & 15, depth + 1)

    def _byte(self) -> int:
        if self.position >= len(self._data):
            raise ValueError("a page's header is cut off")
        self.position += 1
        return self._data[self.position - 1]

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self.position:
            raise ValueError("a page's header is cut off")
        self.position += count

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("a number in a page's header is too long")

    def _zigzag(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)
