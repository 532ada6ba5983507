r"""The proof of work of a want: a new key costs its owner a second, an invented one costs a peer one hash to refuse.

    sha256("paris-want-work-v1\n" run id "\n" public key "\n" work) begins with `RunSpec.want_work_bits` zero bits

Key and run are in the hash, so work is done once for each key and run, and nobody can use another's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

_DOMAIN = "paris-want-work-v1"
_TRIES_A_ROUND = 1 << 15
"""Some 20 ms between two calls of `on_round`."""


def work_bits(run_id: str, signer: str, work: str) -> int:
    """Zero bits at the beginning of the hash.

    Args:
        run_id: The run.
        signer: The volunteer's public key, 64 hex digits.
        work: 16 hex digits.
    """
    digest = hashlib.sha256(_prefix(run_id, signer) + work.encode("ascii")).digest()
    return 256 - int.from_bytes(digest, "big").bit_length()


def do_work(run_id: str, signer: str, bits: int, on_round: Callable[[int], None] = lambda num_tries: None) -> str:
    """Search for work of at least so many bits; 2 ** bits tries on average.

    Args:
        run_id: The run.
        signer: The volunteer's public key, 64 hex digits.
        bits: At most `limits.MAX_WANT_WORK_BITS`, which is a minute or two.
        on_round: Called now and then with the number of tries; may raise to end the search.
    """
    begun, most = hashlib.sha256(_prefix(run_id, signer)), 1 << (256 - bits)
    number = 0
    while True:
        on_round(number)
        for _ in range(_TRIES_A_ROUND):
            attempt = begun.copy()
            attempt.update(b"%016x" % number)
            if int.from_bytes(attempt.digest(), "big") < most:
                return f"{number:016x}"
            number += 1


def _prefix(run_id: str, signer: str) -> bytes:
    return f"{_DOMAIN}\n{run_id}\n{signer}\n".encode("ascii")
