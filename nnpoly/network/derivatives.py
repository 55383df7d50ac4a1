"""A network around its parameters, for some rows: derivatives of what it gives, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from .. import activations, layers
from ..backends.steps import Views
from ..layers import INFERENCE, Layer
from ..primitives import Array, Ops
from ..primitives.arrays import device_of
from .layout import Layout


class Linearised:
    """The passes of a chain of layers for rows x: (n, m_0), as outside training.

    A *seed* weighs the scores, differently for each row: (n, K). What is differentiated is the sum
    of the scores times it.

    Attributes
    ----------
    scores
        f~ of the rows: (n, K), or (n, k K) of several members.
    """

    def __init__(
        self,
        ops: Ops,
        chain: Sequence[Layer],
        layout: Layout,
        params: Views,
        buffers: Views,
        x: Array,
    ) -> None:
        self.ops, self._chain, self._layout = ops, chain, layout
        self._params, self._buffers, self._x = params, buffers, x
        self._stages = layers.forward(ops, chain, params, buffers, x, INFERENCE)
        self.scores = self._stages[-1].post

    def by_inputs(self, seed: Array) -> Array:
        """The derivative by x: (n, m_0). By a category, which an `Embedding` reads, it is 0."""
        below = layers.start(self._x)
        _, found = layers.deltas(self.ops, self._chain, self._params, self._stages, seed, below)
        assert found is not None  # since below has a derivative
        return found

    def by_parameters(self, seed: Array) -> Array:
        """The derivative by the parameters for each row, laid out like `Network.w`: (n, P)."""
        found, _ = layers.deltas(self.ops, self._chain, self._params, self._stages, seed)
        given = self._params, self._buffers, self._stages, found
        parts = layers.row_gradients(self.ops, self._chain, *given)
        xp, n = self.ops.xp, seed.shape[0]
        return xp.concat([xp.reshape(a, (n, -1)) for a in self._layout.pieces(parts)], axis=1)


def units(ops: Ops, like: Array) -> list[Array]:
    """For each column, an array shaped like `like`: (n, K) that is 1 there and 0 elsewhere."""
    xp, zeros = ops.xp, ops.xp.zeros_like(like)
    eye = xp.eye(like.shape[1], dtype=like.dtype, device=device_of(like))
    return [zeros + eye[k, :] for k in range(like.shape[1])]


def output_slopes(ops: Ops, output: str, scores: Array, members: int = 1) -> list[Array]:
    """The derivative of each output f_k by the scores: K arrays shaped like scores: (n, K).

    Of several members' scores, (n, k K), f is the mean of theirs. The step has none.
    """
    if members > 1:
        n, width = scores.shape
        rows = ops.xp.reshape(scores, (n * members, width // members))
        parts = output_slopes(ops, output, rows)
        return [ops.xp.reshape(part, scores.shape) / members for part in parts]
    eye = units(ops, scores)
    if output == "softmax":
        f = ops.softmax(scores)
        return [f[:, k : k + 1] * (one - f) for k, one in enumerate(eye)]
    sigma = activations.Exp() if output == "exp" else activations.BY_NAME[output]
    post = ops.activate(scores, sigma)
    return [ops.activation_delta(one, scores, post, sigma) for one in eye]
