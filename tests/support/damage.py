"""Damaged files, made of a good one at random: some bytes changed, lost or added."""

from __future__ import annotations

import numpy as np


def damaged(good: bytes, seed: int) -> bytes:
    """The same damage for the same seed."""
    rng = np.random.default_rng(seed)
    content, start = bytearray(good), int(rng.integers(len(good)))
    kind = rng.integers(5)
    if kind == 0:
        for place in rng.integers(len(content), size=rng.integers(1, 6)):
            content[place] = rng.integers(256)
    elif kind == 1:
        content[start] ^= 1 << int(rng.integers(8))
    elif kind == 2:
        del content[start:]
    elif kind == 3:
        del content[start : start + int(rng.integers(1, 9))]
    else:
        content[start:start] = rng.bytes(rng.integers(1, 9))
    return bytes(content)
