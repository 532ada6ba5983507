"""Damaged bytes: what a stranger may send in place of a sound document."""

from __future__ import annotations

import random

_PIECES = (
    b"",
    b"\0",
    b"\xff" * 8,
    b"\r\n",
    b"{}",
    b"[",
    b'"',
    b"null",
    b"true",
    b"-1",
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"\xed\xa0\x80",
    b"\\u0000",
    b"../",
    b"/",
    b"=",
    b"[[",
    (2**63).to_bytes(8, "little"),
)


def damaged(seeds: list[bytes], rng: random.Random) -> bytes:
    """One of the documents after one to six changes: bytes flipped, cut out, doubled, replaced, or spliced in."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((0, 1, 1, 2, 8, 64)))
        match rng.randrange(6):
            case 0:
                data[start:end] = rng.choice(_PIECES)
            case 1:
                data[start:end] = rng.randbytes(end - start)
            case 2:
                data[start:start] = data[start:end] * rng.randint(1, 3)
            case 3:
                del data[start:end]
            case 4:
                del data[start:]
            case _:
                other = rng.choice(seeds)
                place = rng.randrange(len(other) + 1)
                data[start:end] = other[place : place + rng.randrange(64)]
    return bytes(data)
