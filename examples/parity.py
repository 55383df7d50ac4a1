"""
Parity in your own continuous integration
=========================================

Two tests show that your model trains alike on every backend, and that they would find out if it did
not. pytest finds them as they stand; ``python parity.py`` runs them too.
"""

import numpy as np
import pytest

import nnpoly as nn
from nnpoly.backends import register
from nnpoly.backends.numpy import NumPy
from nnpoly.primitives import implements


def model():
    """Return the network of your application and a batch of its data."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(64, 17))
    y = rng.integers(0, 6, size=64)
    return nn.MLP([17, 64, 64, 6], activation="tanh", seed=0), X, y


def test_backends_agree():
    """Every backend that is installed here, five steps, layer by layer."""
    net, X, y = model()
    nn.testing.assert_parity(net, X, y, steps=5)


class Forgetful(NumPy):
    """NumPy, except that its backward pass forgets the activation's derivative."""

    name = "forgetful"


@implements("dense_delta", "forgetful")
def _forget(ops, delta, W, pre, post, activation):
    return delta @ W


def test_a_wrong_backend_is_found():
    """A test that cannot fail proves nothing: this error is found, and named."""
    register("forgetful", Forgetful)
    net, X, y = model()
    named = r"step 1, layer 2 \(Dense\), array 'delta below'"
    with pytest.raises(AssertionError, match=named) as found:
        nn.testing.assert_parity(net, X, y, backends=["forgetful"])
    print(found.value)


if __name__ == "__main__":
    test_backends_agree()
    available = ", ".join(name for name, state in nn.backends().items() if state)
    print(f"alike on {available}")
    test_a_wrong_backend_is_found()
