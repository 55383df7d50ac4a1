"""Networks: layers with their parameters, which are one flat vector and its views."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from .. import _checks, activations, layers, losses
from .._described import describe
from ..backends import Backend, host, registry
from ..backends.steps import Batch
from ..data import entering
from ..data.batches import Batches, power_of_two
from ..data.place import Place, place_of
from ..data.rows import Rows
from ..layers import INFERENCE, Layer, Mode, Stage
from ..losses import OUTPUTS, Loss
from ..primitives import Array, Ops
from . import summary as _summary
from .arrays import checked_array, hosted
from .derivatives import Linearised, output_slopes, units
from .drawing import by_data, drawn, sample
from .layout import Layout
from .parameters import Parameters
from .results import BoundLayer, Gradients, Trace, classes_of

AT_ONCE = 1 << 26  # bytes of inputs and activations


class Network(Parameters):
    """A chain of layers and an output, with parameters on one backend.

    Parameters
    ----------
    layers
        The layers in order; each takes as many inputs as the one before gives.
    output
        The function from scores to predictions: "identity", "sigmoid", "softmax", or "step" (which
        cannot be trained).
    dtype
        "float16", "float32" or "float64".
    seed
        Decides the initial weights, and a trainer's shuffles and dropout masks. None: a fresh one.
    backend, device
        Where the parameters live; None for the default (`use_backend`).

    Examples
    --------
    >>> import nnpoly as nn
    >>> net = nn.Network(
    ...     [nn.Dense(64, 100, "relu"), nn.Dropout(0.2), nn.LayerNorm(100), nn.Dense(100, 10)],
    ...     output="softmax",
    ... )
    >>> net.widths, net.depth, net.w.shape
    ([64, 100, 10], 2, (7710,))
    """

    is_mlp = False  # whether a file says so
    # The backend's forward passes, by precision.
    _predictions: Mapping[str | None, Callable[..., Array | None] | None] = {}

    def __init__(
        self,
        layers: Sequence[Layer],
        output: str = "identity",
        *,
        dtype: str = "float32",
        seed: int | None = 0,
        backend: str | Backend | None = None,
        device: Any = None,
    ) -> None:
        self._describe(layers, output, seed)
        name = type(self).__name__
        if output == "softmax" and self.outputs == 1:  # files of before may have it
            raise ValueError(
                f"{name}: `output` 'softmax' needs at least two outputs, got one, which would be 1 "
                "for every input. For two classes take two outputs, or output='sigmoid'; for a "
                "number output='identity'."
            )
        self._settle(name, place_of(name, backend, device, dtype))
        self._begin(drawn(self.chain, self.layout, self.dtype, self.seed)[0])

    # Construction

    def _describe(self, chain: Any, output: str, seed: int | None) -> None:
        name = type(self).__name__
        self.chain = layers.check_layers(name, chain)
        self.inputs, width = layers.chain_widths(self.chain)
        self.outputs = width // self.members
        self.ends = entering.Ends(  # what it takes and gives, by which data are checked
            self.inputs, self.outputs, layers.input_categories(self.chain)
        )
        self.output = _checks.choice(name, "output", output, OUTPUTS)
        if self.chain[-1].activation != activations.identity:
            raise ValueError(
                f"{name}: the last layer's activation must be the identity, got "
                f"{self.chain[-1].activation}. Its scores become predictions by `output`."
            )
        self.seed = host.entropy() if seed is None else _checks.integer(name, "seed", seed, 0)
        self.layout = Layout(self.chain)

    def _settle(self, where: str, place: Place) -> None:
        layers.require_dtype(where, self.chain, place.dtype)
        self.place = place

    @classmethod
    def of_arrays(
        cls,
        layers: Sequence[Layer],
        output: str,
        seed: int | None,
        place: Place,
        arrays: Mapping[str, host.HostArray],
    ) -> Self:
        """Return a network of given parameters and buffers, named as in `arrays`, which are copied.

        Raises
        ------
        KeyError
            If an array is missing.
        ValueError
            If one has another shape or dtype.
        """
        net = object.__new__(cls)
        net._describe(layers, output, seed)
        net._settle(cls.__name__, place)
        # First, since buffers are made to tell their shapes, and are as large as what is in w.
        checked_array(arrays, "w", (net.layout.size,), place.dtype)
        for name, shape in net.array_shapes().items():
            checked_array(arrays, name, shape, place.dtype)
        net._copy_in(arrays)
        return net

    def _begin(self, w: host.HostArray) -> None:
        """Begin with a w of the host and the buffers' start."""
        with self.place.scope():
            placed: Array = self.place.backend.from_host(w, self.place.device)
        self.adopt(placed, self._place_buffers([layer.buffers() for layer in self.chain]))

    def initialise(self, X: Any, *, rows: int = 16384) -> None:
        """Draw all parameters anew, by the seed and by data where initialisers look at data.

        They are drawn layer by layer as when the network was made, and those of
        `nn.initializers.UnitVariance` and `HullBias` follow the pre-activations that the layers
        below, drawn already, give. Layers compute as outside training. Buffers begin anew too.

        Parameters
        ----------
        X
            Inputs (n, m_0), such as the training data.
        rows
            How many of them are looked at, at most: so many are drawn by the seed.

        Examples
        --------
        >>> import numpy as np, nnpoly as nn
        >>> unit, hull = nn.initializers.UnitVariance(), nn.initializers.HullBias(5)
        >>> chain = [nn.Dense(3, 64, "relu", unit, hull), nn.Dense(64, 2, init=unit)]
        >>> net, X = nn.Network(chain), np.random.default_rng(0).normal(size=(200, 3))
        >>> net.initialise(X)
        >>> bool(np.allclose(net.trace(X).pre[1].var(axis=0), 1.0, atol=1e-4))
        True
        """
        where, place = "Network.initialise", self.place
        x = sample(where, place, self.ends, X, rows, self.seed)
        w, views = drawn(self.chain, self.layout, self.dtype, self.seed)
        with place.scope():
            layers.adapt(self.ops, self.from_host, by_data(self.seed), self.chain, views, x)
        self._begin(w)

    # Properties

    @property
    def widths(self) -> list[int]:
        """[m_0, ..., m_L]: the input width, then that of each layer with a W, of one member."""
        return [self.inputs, *(layer.outputs for layer in layers.weight_layers(self.chain))]

    @property
    def depth(self) -> int:
        """L, the number of weight layers."""
        return len(layers.weight_layers(self.chain))

    @property
    def parameter_count(self) -> int:
        """P, the number of parameters.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.MLP([64, 100, 10]).parameter_count
        7510
        """
        return self.layout.size

    @property
    def members(self) -> int:
        """The number of networks in one whose predictions are averaged, k: see `MemberDense`.

        Their scores stand side by side, (n, k K). The prediction is the mean of theirs, (n, K), and
        the loss the mean of their losses, so that each learns by itself: not the loss of the mean.
        """
        return self.chain[-1].members

    @property
    def layers(self) -> list[BoundLayer]:
        """The layers with their parameters: `net.layers[0].W`."""
        triples = zip(self.chain, self.views(self._w), self.buffers, strict=True)
        return [BoundLayer(*triple) for triple in triples]

    def __copy__(self) -> Network:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Network:
        return self.copy()

    # Computing

    @property
    def rows_at_once(self) -> int:
        """The number of rows that are computed at once, where there are many."""
        made = sum(layer.members * layer.outputs for layer in layers.weight_layers(self.chain))
        most = AT_ONCE // ((self.inputs + made) * self.place.itemsize)
        return max(16, min(4096, power_of_two(most)))

    def _forward(self, X: Any, mode: Mode, where: str) -> list[Stage]:
        """The layers' stages for a user's X."""
        return self._stages(entering.features(where, self.place, X, self.inputs), mode, self.ops)

    def _stages(self, x: Array, mode: Mode, ops: Ops) -> list[Stage]:
        """The layers' stages for an x that has been checked."""
        with self.place.scope():
            return layers.forward(ops, self.chain, self.views(self._w), self.buffers, x, mode)

    def check_precision(self, where: str, precision: str | None) -> None:
        """Refuse a precision of products that this network cannot have; None: the dtype's own."""
        if precision is not None:
            self.place.backend.check_precision(where, precision, self.dtype)

    def _predicted(self, X: Any, output: str | None, precision: str | None) -> Array | None:
        """The backend's own forward pass, or None where it has none for this; see `_output`."""
        try:
            predict = self._predictions[precision]
        except (KeyError, TypeError):  # the first time; or no precision at all
            self.check_precision(type(self).__name__, precision)
            predict = self.place.backend.prediction(self.chain, self.dtype, precision)
            self._predictions = {**self._predictions, precision: predict}
        return predict(self._w, self.buffers, X, output) if predict else None

    def _computed(self, X: Any, output: str | None, precision: str | None, where: str) -> Array:
        """The output for a user's X; in blocks where it is read by rows. See `_output`."""
        x = entering.features(where, self.place, X, self.inputs, whole=False)
        if not isinstance(x, Rows):
            return self._output(x, output, precision)
        blocks = Batches(Batch(x, x), None, self.rows_at_once).inputs(self.place, where)
        parts = [self._output(block, output, precision) for block in blocks]
        with self.place.scope():
            return self.place.backend.xp.concat(parts)

    def _output(self, x: Array, output: str | None, precision: str | None) -> Array:
        """The output for an x that has been checked; for None the scores."""
        if (f := self._predicted(x, output, precision)) is not None:
            return f
        ops = self.place.backend.ops_with(precision)
        scores = self._stages(x, INFERENCE._replace(keep_pre=False), ops)[-1].post
        return scores if output is None else self._apply_output(scores, output)

    def scores(self, X: Any, *, precision: str | None = None) -> Array:
        """Return f~, the output layer's pre-activations. X: (n, m_0). Returns (n, K).

        Of k members they are (n, k K), a member's beside the next: see `members`.
        """
        if (scores := self._predicted(X, None, precision)) is not None:
            return scores
        return self._computed(X, None, precision, "Network.scores")

    def __call__(self, X: Any, *, precision: str | None = None) -> Array:
        """Return the predictions f. X: (n, m_0). Returns (n, K).

        Memory maps, HDF5 and zarr arrays and SciPy's sparse matrices that are large are read and
        computed a few thousand rows at a time.

        precision: here and of `scores`, "bf16" for products whose factors are rounded to bfloat16,
        as `Trainer` has it; None for the dtype's own, whatever trained the network.
        """
        if (f := self._predicted(X, self.output, precision)) is not None:
            return f
        return self._computed(X, self.output, precision, type(self).__name__)

    def classify(self, X: Any, *, precision: str | None = None) -> Array:
        """Return the class of each row of X: (n, m_0), as integers (n,).

        Of a softmax it is the likeliest of 0, ..., K-1; of a sigmoid 1 where f >= 1/2, else 0. Of
        several sigmoids, which are labels that do not exclude each other: (n, K).
        `nn.OneHot.decode` turns them into labels of another kind.

        Raises
        ------
        ValueError
            For an output without classes, such as the identity, and where a prediction is NaN.

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.MLP.from_weights([[[1.0], [-1.0]]], [[0.0, 0.0]])
        >>> net.classify([[3.0], [-2.0]]).tolist()
        [0, 1]
        """
        where = f"{type(self).__name__}.classify"
        return classes_of(where, self.place, self.output, self(X, precision=precision))

    def _apply_output(self, scores: Array, output: str) -> Array:
        with self.place.scope():
            return losses.apply_output(self.ops, output, scores, self.members)

    def trace(self, X: Any) -> Trace:
        """Return every pre- and post-activation of a forward pass. X: (n, m_0).

        Examples
        --------
        >>> import nnpoly as nn
        >>> trace = nn.MLP([2, 8, 3], activation="tanh").trace([[0.5, -1.0]])
        >>> [h.shape for h in trace.post]
        [(1, 8), (1, 3)]
        """
        stages = self._forward(X, INFERENCE, "Network.trace")
        copy = self.place.backend.copy
        kept = [stage.pre for stage in stages if stage.pre is not None]  # each one has been kept
        scores = kept[-1]
        output = self._apply_output(scores, self.output)
        pre = [copy(h) if h is stage.x else h for h, stage in zip(kept, stages, strict=True)]
        post = [copy(stage.post) if stage.post is stage.x else stage.post for stage in stages]
        return Trace(pre, [*post[:-1], output], scores, output)

    def loss(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | None = None,
        sample_weight: Any = None,
        training: bool = False,
        precision: str | None = None,
    ) -> Array:
        """Return the mean loss, a 0-d array.

        Parameters
        ----------
        X
            Inputs (n, m_0).
        y
            Targets: (n, K), or (n,) class indices, or (n,) for a single output.
        loss
            Name or `nn.losses` object that pairs with the output; None for the output's own.
        sample_weight
            None, or (n,) factors s_i of the samples' losses: 1/n sum_i s_i l_i.
        training
            Compute as in a training step: with dropout, and BatchNorm of the batch.
        precision
            Of matrix products, as of a call of the network.
        """
        given = X, y, loss, sample_weight, training, precision
        kind, ops, stages, targets = self._evaluate("Network.loss", *given)
        with self.place.scope():
            value, _ = kind.mean_of_members(ops, stages[-1].post, *targets, self.members)
        return self.place.backend.zero_dimensional(value)

    def gradients(
        self,
        X: Any,
        y: Any,
        *,
        loss: str | Loss | None = None,
        sample_weight: Any = None,
        training: bool = False,
        precision: str | None = None,
        inputs: bool = False,
    ) -> tuple[Array, Gradients]:
        """Return the loss and its gradient with respect to every parameter.

        Parameters are those of `loss`, and `inputs`: whether to differentiate by X too.
        delta^(L) = (f - y)/n; one layer down
        delta^(l) = (delta^(l+1) W^(l+1)) * sigma'(h~^(l)); dL/dW^(l) = delta^(l)^T h^(l-1).

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.MLP([2, 8, 3], activation="tanh")
        >>> loss, grads = net.gradients([[0.5, -1.0]], [2])
        >>> grads.W[0].shape, grads.delta[1].shape, grads.flat.shape == net.w.shape
        ((8, 2), (1, 3), True)
        """
        where, given = "Network.gradients", (X, y, loss, sample_weight, training, precision)
        kind, ops, stages, targets = self._evaluate(where, *given)
        layers.require_differentiable(where, self.chain)
        params = self.views(self._w)
        with self.place.scope():
            value, delta = kind.mean_of_members(ops, stages[-1].post, *targets, self.members)
            below = layers.start(stages[0].x) if inputs else layers.INPUT
            grads, deltas, by_X = layers.backward(ops, self.chain, params, stages, delta, below)
            flat = ops.flatten(self.layout.pieces(grads))
        W, b = ([part.get(name) for part in grads] for name in ("W", "b"))
        return self.place.backend.zero_dimensional(value), Gradients(
            W, b, deltas, grads, flat, by_X
        )

    def jacobian(self, X: Any, *, scores: bool = False) -> Array:
        """Return the derivatives of the predictions by the inputs, df/dX: (n, K, m_0).

        Entry (i, k, j) is that of output k in row i by input j of the same row. Layers compute as
        outside training. A number has no derivative by a category, which an `Embedding` reads: that
        is 0. At a bend of an activation it is the derivative that training uses.

        Parameters
        ----------
        X
            Inputs (n, m_0).
        scores
            Differentiate the scores f~ instead; those of k members stand side by side, (n, k K).

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.MLP.from_weights([[[2.0, -1.0]]], [[0.5]], output="identity")
        >>> net.jacobian([[3.0, 4.0], [5.0, 6.0]]).tolist()
        [[[2.0, -1.0]], [[2.0, -1.0]]]
        """
        return self._row_derivatives("Network.jacobian", X, scores, Linearised.by_inputs)

    def parameter_jacobian(self, X: Any, *, scores: bool = False) -> Array:
        """Return the derivatives of the predictions by the parameters, df/dw: (n, K, P).

        The last axis is laid out like `w`. Parameters are those of `jacobian`. A layer of your own,
        and a `Blend`, `Periodic`, `PiecewiseLinear`, `Embedding`, `MemberScale` or `SharedDense`,
        is differentiated one row at a time, unless it overrides `Layer.row_gradients`.

        Examples
        --------
        >>> import nnpoly as nn
        >>> net = nn.MLP.from_weights([[[2.0, -1.0]]], [[0.5]], output="identity")
        >>> net.parameter_jacobian([[3.0, 4.0]]).tolist()  # W, then b
        [[[3.0, 4.0, 1.0]]]
        """
        where = "Network.parameter_jacobian"
        return self._row_derivatives(where, X, scores, Linearised.by_parameters)

    def _linearised(self, x: Array) -> Linearised:
        """The passes for an x that has been checked, to be differentiated."""
        views = self.views(self._w)
        return Linearised(self.ops, self.chain, self.layout, views, self.buffers, x)

    def _row_derivatives(
        self, where: str, X: Any, scores: bool, derive: Callable[[Linearised, Array], Array]
    ) -> Array:
        """Derivatives of all outputs in blocks of rows: (n, K, ...)."""
        layers.require_differentiable(where, self.chain)
        scores = _checks.flag(where, "scores", scores)
        if self.output == "step" and not scores:
            raise ValueError(
                f"{where}: the output 'step' has a derivative of 0 almost everywhere. Pass "
                "scores=True for that of the scores."
            )
        x, ops = entering.features(where, self.place, X, self.inputs, whole=False), self.ops
        parts = []
        for block in Batches(Batch(x, x), None, self.rows_at_once).inputs(self.place, where):
            with self.place.scope():
                passes = self._linearised(block)
                if scores:
                    seeds = units(ops, passes.scores)
                else:
                    seeds = output_slopes(ops, self.output, passes.scores, self.members)
                parts.append(ops.xp.stack([derive(passes, seed) for seed in seeds], axis=1))
        with self.place.scope():
            return parts[0] if len(parts) == 1 else ops.xp.concat(parts)

    def _evaluate(
        self,
        where: str,
        X: Any,
        y: Any,
        loss: str | Loss | None,
        sample_weight: Any,
        training: bool,
        precision: str | None,
    ) -> tuple[Loss, Ops, list[Stage], tuple[Array, Array | None]]:
        """Return the loss, the table, a forward pass, and the targets with their weights."""
        self.check_precision(where, precision)
        kind, place = losses.get(loss, self.output, where), self.place
        ops = place.backend.ops_with(precision)
        x = entering.features(where, place, X, self.inputs)
        n = x.shape[0]
        target = entering.targets(where, place, y, kind, (n, self.outputs))
        weights = entering.sample_weights(where, place, sample_weight, n, "sample_weight")
        stages = self._stages(x, Mode(training, True, host.key(self.seed, 0)), ops)
        return kind, ops, stages, (target, weights)

    # Copies, files and text

    def to(
        self, backend: str | Backend | None = None, *, dtype: str | None = None, device: Any = None
    ) -> Network:
        """Return a copy on another backend or device, or of another floating type.

        Examples
        --------
        >>> import nnpoly as nn
        >>> nn.MLP([2, 3, 1], output="identity").to(dtype="float64").w.dtype
        dtype('float64')
        """
        target = self.place.backend if backend is None else registry.get(backend, "Network.to")
        if device is None and target is self.place.backend:
            device = self.device
        moved = object.__new__(type(self))
        moved.__dict__.update(self.__dict__)
        for name in ("_remembered", "_predictions"):
            moved.__dict__.pop(name, None)
        where = "Network.to"
        moved._settle(where, place_of(where, target, device, dtype or self.dtype))
        moved.restore(self.arrays())
        return moved

    def copy(self) -> Network:
        """Return a copy that shares no memory with this network."""
        return self.to()

    def header(self) -> dict[str, Any]:
        """The network's description without its arrays, in JSON's types."""
        return {
            "mlp": self.is_mlp,
            "layers": describe(self.chain),
            "output": self.output,
            "dtype": self.dtype,
            "seed": self.seed,
        }

    def save(self, path: Any, extra: Mapping[str, Any] | None = None) -> None:
        """Write the network to one file, in the safetensors format (see `nn.load`).

        Parameters
        ----------
        path
            The file, which is replaced as a whole.
        extra
            Anything else that belongs to the network (scaling, labels, ...), of JSON's types; NaN
            and infinities may be in it, tuples become lists. `nnpoly.checkpoint.load_extra` returns
            it.

        Raises
        ------
        TypeError
            If `extra` holds what JSON does not. Nothing has been written then.
        """
        from ..data import container  # here, since `import nnpoly` does without it

        extra = container.checked_extra(extra)
        header = {"kind": "network", "network": self.header(), "extra": extra}
        container.write(path, hosted(self.arrays()), header)

    def summary(self) -> str:
        """Return a table of the layers: shapes, parameters, their memory, and arithmetic.

        MFLOP are the millions of floating-point operations of one sample's forward pass: of matrix
        products, 2 m m_in, and their biases, m, for each member. Not counted is element-wise work
        (activations, normalisation, dropout, short cuts), nor are output and optimiser.

        A training step is forward and backward: dL/dW and dL/db take 2 m m_in + m again, and the
        delta one layer down 2 m m_in, which the network's first layer has no use for.

        A residual block's layers follow it, indented, with its costs; the columns add up to the
        total. Memory is the parameters' alone, in units of 1000.

        Examples
        --------
        >>> import nnpoly as nn
        >>> print(nn.MLP([64, 100, 10]).summary())
        MLP 64-100-10, softmax output, float32 on numpy (cpu)
        layer  kind    in  ->  out  activation  parameters   memory   MFLOP
        0      Dense   64  ->  100  relu             6,500  26.0 kB  0.0129
        1      Dense  100  ->  10   identity         1,010   4.0 kB  0.0020
        total          64  ->  10                    7,510  30.0 kB  0.0149
        training step  0.0318 MFLOP a sample (forward 0.0149, backward 0.0169)
        """
        itemsize = self.place.itemsize
        return "\n".join([repr(self), *_summary.table(self.chain, self.inputs, itemsize)])

    def _repr_html_(self) -> str:
        from .. import notebooks  # here, since `import nnpoly` does without it

        rows, step = _summary.parts(self.chain, self.inputs, self.place.itemsize)
        return notebooks.table(repr(self), list(_summary.COLUMNS), rows) + notebooks.paragraph(step)

    def __repr__(self) -> str:
        where = f"{self.dtype} on {self.backend} ({self.device})"
        return _summary.heading(type(self).__name__, self.widths, self.members, self.output, where)
