"""The bits of a mark: payload, checksum, and the convolutional code that repairs them."""

from __future__ import annotations

import binascii
import hashlib
from functools import cache

import numpy as np

VERSION = 1
PAYLOAD_BITS = 48
_ID_BITS = 40
_VERSION_BITS = PAYLOAD_BITS - _ID_BITS
_CHECK_BITS = 16
_MEMORY = 10
_TAPS = (0o2353, 0o2671, 0o3175)
"""Generators of rate 1/3 and constraint length 11 with free distance 22 (Larsen 1973). Against length 7 it needs an
eighth less strength."""
_STEPS = PAYLOAD_BITS + _CHECK_BITS
CODE_BITS = _STEPS * len(_TAPS)


def mark_payload(job: str) -> int:
    """What the mark of a job says: 8 bits of version, then the first 40 of the SHA-256 of the job's id."""
    digest = hashlib.sha256(job.encode()).digest()
    return (VERSION << _ID_BITS) | int.from_bytes(digest[: _ID_BITS // 8], "big")


def encode(payload: int) -> np.ndarray:
    """The code bits of a payload, as float32 [CODE_BITS] of -1 and 1.

    Raises ValueError for more than 48 bits, or another version than the pattern's.
    """
    version, number = divmod(payload, 1 << _ID_BITS)
    if version != VERSION:
        raise ValueError(
            f"a payload has {PAYLOAD_BITS} bits, the first {_VERSION_BITS} are {VERSION}; not {payload:#x}"
        )
    # the version comes last: a decoder knows it, and so in which states the code ends
    word = (number << _CHECK_BITS | _check(payload)) << _VERSION_BITS | version
    signs, state = [], 0
    for shift in range(_STEPS - 1, -1, -1):
        state, made = _step(state, word >> shift & 1)
        signs += made
    return np.array(signs, np.float32)


def decode(soft: np.ndarray) -> int | None:
    """The payload whose code bits fit best to `soft` float [CODE_BITS] (the sign is the bit, the size its certainty).

    None where the checksum of the best one is wrong.
    """
    ways, signs = _trellis()
    gains = np.asarray(soft, np.float32).reshape(_STEPS, -1)
    score = np.full(1 << _MEMORY, -np.inf, np.float32)
    score[0] = 0.0
    chosen = np.zeros((_STEPS, len(score)), np.int64)
    for step, gain in enumerate(gains):
        reached = score[:, None] + signs @ gain
        if (known := step - (_STEPS - _VERSION_BITS)) >= 0:
            reached[:, 1 - (VERSION >> (_VERSION_BITS - 1 - known) & 1)] = -np.inf
        reached = reached.ravel()
        chosen[step] = np.where(reached[ways[:, 0]] >= reached[ways[:, 1]], ways[:, 0], ways[:, 1])
        score = reached[chosen[step]]
    state, bits = int(score.argmax()), 0
    for step in range(_STEPS - 1, -1, -1):
        state, bit = divmod(int(chosen[step, state]), 2)
        bits |= bit << (_STEPS - 1 - step)
    number, check = divmod(bits >> _VERSION_BITS, 1 << _CHECK_BITS)
    payload = VERSION << _ID_BITS | number
    return payload if check == _check(payload) else None


def agreement(soft: np.ndarray, payload: int) -> float:
    """Correlation of `soft` float [CODE_BITS] with the code bits of a payload: 0.55 for what noise is taken for."""
    return float(soft @ encode(payload) / max(float(np.linalg.norm(soft)) * CODE_BITS**0.5, 1e-12))


def _check(payload: int) -> int:
    return binascii.crc_hqx(payload.to_bytes(PAYLOAD_BITS // 8, "big"), 0xFFFF)


def _step(state: int, bit: int) -> tuple[int, list[float]]:
    register = bit << _MEMORY | state
    return register >> 1, [1.0 if (register & taps).bit_count() % 2 else -1.0 for taps in _TAPS]


@cache
def _trellis() -> tuple[np.ndarray, np.ndarray]:
    """For each state the two (state before, bit) that lead to it, as 2 * state + bit [S, 2]; and the code bits that go
    with a state and a bit, float32 [S, 2, 3]."""
    steps = [[_step(state, bit) for bit in (0, 1)] for state in range(1 << _MEMORY)]
    after = np.array([[to for to, _ in pair] for pair in steps]).ravel()
    return np.argsort(after, kind="stable").reshape(-1, 2), np.array(
        [[m for _, m in pair] for pair in steps], np.float32
    )
