"""Backends in pickles: a registered one is its name, another one the object itself."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import Backend, registry
from nnpoly.backends.numpy import NumPy
from nnpoly.backends.reference import Reference


class Scaled(Backend):
    """A user's backend, of NumPy's arrays, which was not registered."""

    name = "scaled"
    xp = np

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def owns(self, array: Any) -> bool:
        return False

    def device(self, device: Any) -> Any:
        return "cpu"

    def from_host(self, array: Any, device: Any) -> Any:
        return array.copy()

    def move(self, array: Any, device: Any) -> Any:
        return array


def repickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("name", registry.available())
def test_a_registered_backend_stays_itself(name):
    backend = registry.get(name)
    assert repickled(backend) is copy.copy(backend) is copy.deepcopy(backend) is backend


@pytest.mark.parametrize("backend", [Scaled(2.0), Reference(), NumPy()], ids=lambda b: b.name)
def test_a_network_on_another_backend_can_be_pickled(backend):
    net = nn.MLP([2, 3, 2], backend=backend)
    trainer = nn.Trainer(net)
    trainer.step([[0.5, 1.0]], [1])
    for again in (repickled(net), repickled(trainer).network):
        moved = again.place.backend
        assert type(moved) is type(backend)
        assert moved is not registry.get("numpy")
        assert getattr(moved, "scale", 2.0) == 2.0
        assert np.array_equal(again([[0.5, 1.0]]), net([[0.5, 1.0]]))


def test_a_pickled_backend_that_is_missing_is_named():
    class Missing(Scaled):
        name = "missing"

    registry.register("missing", lambda: Missing(1.0))
    try:
        text = pickle.dumps(nn.MLP([2, 2], backend="missing"))
    finally:
        registry._FACTORIES.pop("missing")
        registry._LOADED.pop("missing")
    with pytest.raises(ValueError, match=r"^pickle: `backend` must be one of .*, got 'missing'"):
        pickle.loads(text)
