"""Hand-written NumPy: preallocated, in place, flat parameters; as fast as plain calls get."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain, pairwise
from math import pi, sqrt
from typing import Any

import numpy as np
from problem import BETA1, BETA2, EPS, Contestant, Problem
from threadpoolctl import threadpool_info


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        NumPy's version with its BLAS, and the kernels that this has chosen.
    """
    return {"numpy": f"{np.__version__} ({', '.join(map(_blas, threadpool_info()))})"}


def _blas(pool: dict[str, Any]) -> str:
    return f"{pool['internal_api']} {pool['version']}, {pool.get('architecture', 'one kernel')}"


class Stage(ABC):
    """One stage of the chain. It owns its buffers and is called forward, then backward."""

    @abstractmethod
    def forward(self, h: np.ndarray) -> np.ndarray: ...

    @abstractmethod
    def backward(self, delta: np.ndarray) -> np.ndarray: ...


class Dense(Stage):
    """h W^T + b, with gradients written straight into the flat gradient.

    Parameters
    ----------
    W, b, dW, db : np.ndarray
        Views of the flat parameters and of the flat gradient.
    n : int
        Samples in the batch.
    first, last : bool
        The first layer passes no delta down. The last one keeps its scores in column order,
        which makes the softmax's reductions over a few classes several times faster.
    """

    def __init__(
        self,
        W: np.ndarray,
        b: np.ndarray,
        dW: np.ndarray,
        db: np.ndarray,
        n: int,
        first: bool,
        last: bool,
    ) -> None:
        self.W, self.b, self.dW, self.db = W, b, dW, db
        self.product = np.empty((n, W.shape[0]), W.dtype)
        self.pre = np.empty_like(self.product, order="F") if last else self.product
        self.delta = None if first else np.empty((n, W.shape[1]), W.dtype)

    def forward(self, h: np.ndarray) -> np.ndarray:
        self.h = h
        np.dot(h, self.W.T, out=self.product)
        return np.add(self.product, self.b, out=self.pre)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        np.dot(delta.T, self.h, out=self.dW)
        np.add.reduce(delta, axis=0, out=self.db)
        return delta if self.delta is None else np.dot(delta, self.W, out=self.delta)


class Tanh(Stage):
    """tanh in place; its output's buffer is free for the derivative by the time of backward."""

    def forward(self, h: np.ndarray) -> np.ndarray:
        self.post = np.tanh(h, out=h)
        return h

    def backward(self, delta: np.ndarray) -> np.ndarray:
        slope = np.multiply(self.post, self.post, out=self.post)
        np.subtract(1, slope, out=slope)
        return np.multiply(delta, slope, out=delta)


class Relu(Stage):
    """max(h, 0) in place."""

    def forward(self, h: np.ndarray) -> np.ndarray:
        self.post = np.maximum(h, 0, out=h)
        return h

    def backward(self, delta: np.ndarray) -> np.ndarray:
        return np.multiply(delta, self.post > 0, out=delta)


class Gelu(Stage):
    """h Phi(h), Phi = (1 + erf(h / sqrt 2)) / 2 by scipy.special, kept for the backward pass."""

    def __init__(self) -> None:
        from scipy.special import ndtr  # Phi itself: faster than erf and the passes around it

        self.ndtr, self.cdf = ndtr, None

    def forward(self, h: np.ndarray) -> np.ndarray:
        if self.cdf is None:
            self.cdf, self.post = np.empty_like(h), np.empty_like(h)
        self.pre = h
        return np.multiply(h, self.ndtr(h, out=self.cdf), out=self.post)

    def backward(self, delta: np.ndarray) -> np.ndarray:
        slope = np.multiply(self.pre, self.pre, out=self.post)
        slope *= -0.5
        np.exp(slope, out=slope)
        slope *= 1 / sqrt(2 * pi)
        slope *= self.pre
        slope += self.cdf
        return np.multiply(delta, slope, out=delta)


class Numpy(Contestant):
    """Stages forward and backward, then Adam over the flat vectors."""

    def __init__(self, problem: Problem, learning_rate: float) -> None:
        pairs = zip(problem.weights, problem.biases, strict=True)
        parameters = list(chain.from_iterable(pairs))
        self.x, self.y, self.rows = problem.x, problem.y, np.arange(len(problem.y))
        self.w = np.concatenate([parameter.ravel() for parameter in parameters])
        self.gradient = np.empty_like(self.w)
        self.adam = Adam(self.w, learning_rate)
        shapes = [parameter.shape for parameter in parameters]
        self.stages = list(stages(problem, views(self.w, shapes), views(self.gradient, shapes)))

    def scores(self) -> np.ndarray:
        """Run forward.

        Returns
        -------
        np.ndarray
            (n, K), which the next run overwrites.
        """
        h = self.x
        for stage in self.stages:
            h = stage.forward(h)
        return h

    def step(self) -> np.floating:
        h = self.scores()
        loss = cross_entropy(h, self.y, self.rows)
        for stage in reversed(self.stages):
            h = stage.backward(h)
        self.adam.update(self.gradient)
        return loss


def stages(
    problem: Problem, parameters: list[np.ndarray], gradients: list[np.ndarray]
) -> Iterator[Stage]:
    """Chain the layers with the activation between each two.

    Parameters
    ----------
    problem : Problem
        Names the activation and the batch size.
    parameters, gradients : list of np.ndarray
        W, b, W, b, ... and their gradients.

    Yields
    ------
    Stage
        From the input to the scores.
    """
    activation = {"tanh": Tanh, "relu": Relu, "gelu": Gelu}[problem.activation]
    n, end = len(problem.y), len(parameters) - 2
    for i in range(0, end + 2, 2):
        yield Dense(*parameters[i : i + 2], *gradients[i : i + 2], n, first=i == 0, last=i == end)
        if i < end:
            yield activation()


def views(flat: np.ndarray, shapes: list[tuple[int, ...]]) -> list[np.ndarray]:
    """Cut a flat vector into arrays of the given shapes, without copying.

    Parameters
    ----------
    flat : np.ndarray
        As long as the shapes need.
    shapes : list of tuple of int
        In order.

    Returns
    -------
    list of np.ndarray
        Views of `flat`.
    """
    bounds = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    return [flat[a:b].reshape(s) for (a, b), s in zip(pairwise(bounds), shapes, strict=True)]


def cross_entropy(scores: np.ndarray, y: np.ndarray, rows: np.ndarray) -> np.floating:
    """Turn the scores into delta, (softmax - one-hot) / n, in place.

    Parameters
    ----------
    scores : np.ndarray
        Of shape (n, K); overwritten.
    y, rows : np.ndarray
        Class indices, and 0, ..., n - 1.

    Returns
    -------
    np.floating
        The mean cross-entropy.
    """
    scores -= np.maximum.reduce(scores, axis=1, keepdims=True)
    chosen = scores[rows, y]
    np.exp(scores, out=scores)
    total = np.add.reduce(scores, axis=1, keepdims=True)
    scores /= total
    scores[rows, y] -= 1
    scores *= 1 / len(y)
    return (np.add.reduce(np.log(total), axis=None) - np.add.reduce(chosen)) / len(y)


class Adam:
    """Adam over one flat vector, in ten passes and no temporary.

    The moments are kept undivided, m/(1 - beta1) and s/(1 - beta2): two passes fewer, with the
    constants moved into the step size and eps.

    Parameters
    ----------
    w : np.ndarray
        The parameters; updated in place.
    learning_rate : float
        The step size.
    """

    def __init__(self, w: np.ndarray, learning_rate: float) -> None:
        self.w, self.m, self.s = w, np.zeros_like(w), np.zeros_like(w)
        self.learning_rate, self.t = learning_rate, 0

    def update(self, g: np.ndarray) -> None:
        """Take a step against the gradient, whose memory serves as the scratch.

        Parameters
        ----------
        g : np.ndarray
            The gradient; overwritten.
        """
        self.t += 1
        first = (1 - BETA1) / (1 - BETA1**self.t)
        root = sqrt((1 - BETA2) / (1 - BETA2**self.t))
        self.m *= BETA1
        self.m += g
        np.multiply(g, g, out=g)
        self.s *= BETA2
        self.s += g
        np.sqrt(self.s, out=g)
        g += EPS / root
        np.divide(self.m, g, out=g)
        g *= self.learning_rate * first / root
        self.w -= g
