"""JAX: the whole step as one jitted function, its state donated."""

from __future__ import annotations

from functools import partial
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
from problem import BETA1, BETA2, EPS, Contestant, Problem

ACTIVATIONS = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),
}


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        JAX's version.
    """
    return {"jax": jax.__version__}


class State(NamedTuple):
    """What a step changes: `w`, `m` and `s` are lists of (W, b), a layer an entry."""

    w: list
    m: list
    s: list
    t: jax.Array


def parameters(problem: Problem) -> list:
    """Return the first weights as JAX arrays: (W, b), a layer an entry."""
    pairs = zip(problem.weights, problem.biases, strict=True)
    return [(jnp.array(W), jnp.array(b)) for W, b in pairs]


def scores(w: list, activation: str, x: jax.Array) -> jax.Array:
    """Return the network's scores, (n, K).

    Parameters
    ----------
    w : list of tuple of jax.Array
        (W, b), a layer an entry.
    activation : str
        Of the hidden layers.
    x : jax.Array
        The batch.
    """
    for W, b in w[:-1]:
        x = ACTIVATIONS[activation](x @ W.T + b)
    W, b = w[-1]
    return x @ W.T + b


def cross_entropy(w: list, activation: str, x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the mean cross-entropy of `scores` with the class indices y."""
    log_probabilities = jax.nn.log_softmax(scores(w, activation, x))
    return -jnp.take_along_axis(log_probabilities, y[:, None], axis=1).mean()


@partial(jax.jit, static_argnames=("activation", "learning_rate"), donate_argnames="state")
def train(
    state: State, activation: str, learning_rate: float, x: jax.Array, y: jax.Array
) -> tuple[State, jax.Array]:
    """Take one step of Adam.

    Parameters
    ----------
    state : State
        Donated.
    activation : str
        Of the hidden layers.
    learning_rate : float
        The step size.
    x, y : jax.Array
        The batch and its class indices.

    Returns
    -------
    tuple of (State, jax.Array)
        The next state, and the loss before the step.
    """
    loss, g = jax.value_and_grad(cross_entropy)(state.w, activation, x, y)
    t = state.t + 1
    c1, c2 = (-jnp.expm1(t * log(beta)) for beta in (BETA1, BETA2))  # 1 - beta^t, exact in float32
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.m, g)
    s = jax.tree.map(lambda s, g: BETA2 * s + (1 - BETA2) * g * g, state.s, g)
    w = jax.tree.map(
        lambda w, m, s: w - learning_rate / c1 * m / (jnp.sqrt(s / c2) + EPS), state.w, m, s
    )
    return State(w, m, s, t), loss


class Jax(Contestant):
    """The jitted step, called in a loop that never waits for it."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        self.x, self.y = jnp.array(problem.x), jnp.array(problem.y, dtype=jnp.int32)
        w = parameters(problem)
        m, s = (jax.tree.map(jnp.zeros_like, w) for _ in "ms")
        self.state = State(w, m, s, jnp.zeros((), jnp.float32))
        self.activation, self.learning_rate = problem.activation, learning_rate

    def step(self) -> jax.Array:
        self.state, loss = train(self.state, self.activation, self.learning_rate, self.x, self.y)
        return loss

    def wait(self) -> None:
        jax.block_until_ready(self.state)
