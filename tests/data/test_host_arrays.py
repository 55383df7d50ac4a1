"""The host's arrays on their way in: any strides, and memory that is the user's again at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import nnpoly as nn
from nnpoly.backends import host as backends_host
from nnpoly.backends import registry

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 4)).astype("f4")
y = (X[:, 0] > 0).astype(int)
s = RNG.exponential(size=40).astype("f4")


def trainer(place: dict[str, Any]) -> nn.Trainer:
    return nn.Trainer(nn.MLP([4, 3, 2], "tanh", seed=2, **place), nn.SGD(0.1))


def host(array: Any) -> np.ndarray:
    return registry.to_host(array)


def test_arrays_may_run_backwards_in_memory(backend_variant):
    """As negative strides do; every entry takes them as it takes their copies."""
    backward = [array[::-1] for array in (X, y, s)]
    copies = [array.copy() for array in backward]
    found = []
    for a, b, weights in (backward, copies):
        t = trainer(backend_variant.place)
        losses = [float(t.step(a, b, weights)), t.evaluate(a, b, weights)]
        t.fit(a, b, 2, 8, validation=(a, b), sample_weight=weights)
        w = host(t.network.w).copy()
        t.network.w = w[::-1]
        outputs = [host(t.network(a)), host(t.network(a[:1])), host(t.network.w), w]
        found.append([*losses, t.history, *(array.tobytes() for array in outputs)])
    assert found[0] == found[1]


def test_memory_is_the_users_again_when_a_call_returns(backend_variant):
    """Also where a library copies later than it says: a buffer that is refilled for each batch."""
    t, other = trainer(backend_variant.place), trainer(backend_variant.place)
    rows = RNG.integers(0, 40, (60, 256))
    buffer = np.empty((256, 4), "f4")
    for chosen in rows:
        buffer[:] = X[chosen]
        t.step(buffer, y[chosen])
        buffer[:] = np.nan
    for chosen in rows:
        other.step(X[chosen], y[chosen])
        host(other.network.w)  # waits
    assert host(t.network.w).tobytes() == host(other.network.w).tobytes()


def refilled(parts: tuple[np.ndarray, ...], rows: np.ndarray, xp: Any = np) -> Iterator[Any]:
    """Batches of `parts`, each of which fills the same arrays again."""
    buffers = [xp.asarray(part[rows[0]]) for part in parts]
    for chosen in rows:
        for buffer, part in zip(buffers, parts, strict=True):
            buffer[:] = xp.asarray(part[chosen])
        yield tuple(buffers)


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("kinds", ["Xy", "Xys"])
def test_a_source_may_fill_the_same_arrays_again(backend_variant, kinds, accumulate):
    """Once it is asked for the next batch; also where several batches make one step."""
    place = backend_variant.place
    parts = tuple({"X": X, "y": y, "s": s}[kind] for kind in kinds)
    rows = np.random.default_rng(0).permutation(40).reshape(5, 8)
    batches = [tuple(part[chosen] for part in parts) for chosen in rows]
    namespaces = [np, torch] if place.get("backend") == "torch" else [np]
    t = trainer(place)
    expected = t.fit(batches, epochs=2, accumulate=accumulate).loss, host(t.network.w).tobytes()
    for xp in namespaces:
        t = trainer(place)
        history = t.fit(lambda k, xp=xp: refilled(parts, rows, xp), epochs=2, accumulate=accumulate)
        assert (history.loss, host(t.network.w).tobytes()) == expected


@pytest.mark.parametrize("path", [(0,), (7, 0, 3), (2**32, 5), (2**64 + 2**33, 2**32 - 1, 2**40)])
def test_generators_are_numpys_of_the_same_numbers(path):
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence([*path])))
    numbers = backends_host.generator(*path).integers(0, 2**63, 20)
    assert numbers.tolist() == expected.integers(0, 2**63, 20).tolist()
