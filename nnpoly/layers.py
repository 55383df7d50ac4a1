"""Layers: small frozen objects, forward and backward side by side, pure in arrays.

A layer owns no arrays. It says which parameters it has (`shapes`), draws their start (`initial`)
and computes. `forward` keeps in a `Stage` what `backward` needs. Each layer ends in an element-wise
activation (the identity, unless it says otherwise), and delta is always the derivative with respect
to the pre-activations, so `backward` carries a delta from one layer's pre to the pre of the layer
below in one go: for a Dense layer that is the fused primitive `dense_delta`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeAlias

from . import _checks, activations, initializers
from ._described import Described
from .activations import Activation
from .backends import host
from .primitives import Array, Ops, Scalar

Parameters: TypeAlias = Mapping[str, Array]
Out: TypeAlias = Mapping[str, Array] | None


class Mode(NamedTuple):
    """Options of a forward pass: training or not, and the key of its random numbers."""

    training: bool = False
    keep_pre: bool = True
    key: Scalar = 0  # int32, drawn for this step: see `dropout_scale`
    path: int = 0  # the layer's place in the network

    def at(self, position: int) -> Mode:
        """Return the mode of the layer at `position` inside the layer at `path`."""
        return self._replace(path=(1000003 * self.path + position + 1) & 0x7FFFFFFF)


class Stage(NamedTuple):
    """A layer's forward pass, as its backward pass needs it.

    Attributes
    ----------
    x
        The layer's input: (n, m_in).
    pre, post
        Its pre- and post-activations: (n, m). pre is None where it was not kept.
    activation
        The function between them.
    extra
        Anything else that the layer keeps for itself.
    buffers
        The new ones, where the pass changes them.
    """

    x: Array
    pre: Array | None
    post: Array
    activation: Activation
    extra: Any = None
    buffers: Parameters | None = None

    def delta(self, ops: Ops, d_post: Array) -> Array | None:
        """The derivative with respect to pre, given that with respect to post.

        It may be written over d_post. None where the stage is the network's input, which needs no
        derivative.
        """
        if self is INPUT:
            return None
        delta: Array = ops.activation_delta(d_post, self.pre, self.post, self.activation)
        return delta


_nothing: Any = None
INPUT = Stage(_nothing, _nothing, _nothing, activations.identity)  # what is below the first layer
INFERENCE = Mode()
_no_rates: Any = ()


class Layer(Described):
    """A layer: parameters by name, a forward and a backward pass.

    One of your own overrides `forward` and `backward`, and `shapes` and `initial` where it has
    parameters.
    """

    activation = activations.identity
    rates = _no_rates  # an argument of layers that have parameters, by `_checks.rates`
    random: ClassVar[bool] = False
    least_rows: ClassVar[int] = 1  # of a batch from which the layer learns

    @property
    def input_width(self) -> int | None:
        """The input width, or None where any will do."""
        return None

    def width(self, inputs: int) -> int:
        """Return the output width for an input width, which it checks."""
        return inputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the trainable parameters' shapes, in the order of the flat vector."""
        return {}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        """Return the trainable parameters' start, float64 on the host."""
        return {}

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        """Write the trainable parameters' start, rounded to their dtype, into arrays of the host.

        Raises
        ------
        ValueError
            If `initial` gives others than `shapes` names.
        """
        start = {name: host.asarray(value) for name, value in self.initial(rng).items()}
        given, wanted = ({k: a.shape for k, a in part.items()} for part in (start, params))
        if given != wanted:
            raise ValueError(
                f"{type(self).__name__}: `initial` must return the arrays that `shapes` names, "
                f"{wanted}, got {given}."
            )
        for name, value in start.items():
            params[name][...] = value

    def parameter_rates(self) -> dict[str, tuple[float, float]]:
        """Return the factors of the learning rate and of the weight decay, by parameter's name.

        An optimiser updates a parameter with its learning rate and weight decay times these. One
        that is not named has (1, 1). A learning rate of factor 0 keeps a parameter as it is; the
        decoupled decay of `AdamW` goes by the factor of the learning rate too, w <- w - (factor of
        the rate) eta (factor of the decay) weight_decay w.
        """
        return dict(self.rates)

    def buffers(self) -> dict[str, host.HostArray]:
        """Return the start of arrays that training changes but does not differentiate."""
        return {}

    @abstractmethod
    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        """Compute the layer. x: (n, m_in); the stage's pre and post: (n, m)."""
        raise NotImplementedError

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        """Differentiate the layer.

        delta: (n, m), with respect to this layer's pre. Returns the gradients of the parameters
        (written into `out` where an implementation can) and delta with respect to below's pre:
        (n, m_in), or None where `below` is the network's input.
        """
        raise NotImplementedError


def _require_width(layer: Layer, expected: int, inputs: int) -> None:
    if expected != inputs:
        raise ValueError(
            f"Network: {layer} takes {expected} inputs, but the layer before it gives {inputs}. "
            "Make the two widths equal."
        )


class Dense(Layer):
    """Fully connected layer: h = sigma(x W^T + b).

    Parameters
    ----------
    inputs, outputs
        Widths m_in and m. W has shape (m, m_in) and b has shape (m,), starting at 0.
    activation
        Name or `nn.activations` object.
    init
        Name or `nn.initializers` object, for W.

    Examples
    --------
    >>> import nnpoly as nn
    >>> nn.Network([nn.Dense(2, 3, "tanh"), nn.Dense(3, 1)]).widths
    [2, 3, 1]
    """

    inputs: int
    outputs: int
    activation: Any = activations.identity  # a name becomes its Activation, below
    init: Any = initializers.kaiming_normal

    def __post_init__(self) -> None:
        self._set(
            inputs=_checks.integer("Dense", "inputs", self.inputs),
            outputs=_checks.integer("Dense", "outputs", self.outputs),
            activation=activations.get(self.activation, "Dense"),
            init=initializers.get(self.init, "Dense"),
        )

    @property
    def input_width(self) -> int:
        return self.inputs

    def width(self, inputs: int) -> int:
        _require_width(self, self.inputs, inputs)
        return self.outputs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (self.outputs, self.inputs), "b": (self.outputs,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        params = {name: host.full(shape, 0.0) for name, shape in self.shapes().items()}
        self.init.fill(rng, params["W"])
        return params

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        if type(self).initial is not Dense.initial:  # a subclass begins otherwise
            super().fill(rng, params)
        else:
            self.init.fill(rng, params["W"])
            params["b"][...] = 0.0

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        pre, post = ops.dense(x, params["W"], params["b"], self.activation, mode.keep_pre)
        return Stage(x, pre, post, self.activation)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        dW, db = ops.dense_gradients(delta, stage.x, out)
        d_below = None
        if below is not INPUT:
            d_below = ops.dense_delta(delta, params["W"], below.pre, below.post, below.activation)
        return {"W": dW, "b": db}, d_below


class Dropout(Layer):
    """Inverted dropout: in training each input is 0 with probability rate, else times 1/(1-rate).

    Srivastava et al. 2014. Outside training it passes its input on. The masks depend on the seed,
    the step and the layer's place alone, and are bit-equal on every backend.
    """

    rate: float
    random = True

    def __post_init__(self) -> None:
        rate = _checks.number("Dropout", "rate", self.rate, 0.0, 1.0)
        if rate == 1.0:
            raise ValueError("Dropout: `rate` must be below 1, got 1.0: nothing would pass.")
        self._set(rate=rate)

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        if not mode.training or self.rate == 0.0:
            return Stage(x, x, x, self.activation)
        scale = ops.dropout_scale(x, self.rate, mode.key, mode.path)
        post = x * scale
        return Stage(x, post, post, self.activation, extra=scale)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        # Always a new array: `activation_delta` may overwrite it, and this layer's delta is kept.
        dx = delta * (1.0 if stage.extra is None else stage.extra)
        return {}, below.delta(ops, dx)


class _Normalised(Layer):
    """LayerNorm or BatchNorm: an affine map of normalised inputs, gain * x^ + shift."""

    features: int
    eps: float = 1e-5
    activation: Any = activations.identity

    def __post_init__(self) -> None:
        where = type(self).__name__
        self._set(
            features=_checks.integer(where, "features", self.features),
            eps=_checks.positive(where, "eps", self.eps),
            activation=activations.get(self.activation, where),
        )

    @property
    def input_width(self) -> int:
        return self.features

    def width(self, inputs: int) -> int:
        _require_width(self, self.features, inputs)
        return self.features

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"gain": (self.features,), "shift": (self.features,)}

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        shape = (self.features,)
        return {"gain": host.full(shape, 1.0), "shift": host.full(shape, 0.0)}

    def _stage(self, ops: Ops, params: Parameters, x: Array, mean: Array, scale: Array) -> Stage:
        pre = ops.normalise(x, mean, scale, params["gain"], params["shift"])
        return Stage(x, pre, ops.activate(pre, self.activation), self.activation, (mean, scale))

    @staticmethod
    def _gradients(ops: Ops, stage: Stage, delta: Array, out: Out) -> dict[str, Array]:
        mean, scale, *_ = stage.extra
        dgain, dshift = ops.norm_gradients(delta, stage.x, mean, scale, out)
        return {"gain": dgain, "shift": dshift}


class LayerNorm(_Normalised):
    """Normalise each row to mean 0 and variance 1, then gain * x^ + shift, then the activation.

    Ba et al. 2016, arXiv:1607.06450. eps is inside the root: x^ = (x - mean) / sqrt(var + eps).
    """

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        mean, _, scale = ops.moments(x, 1, self.eps)
        return self._stage(ops, params, x, mean, scale)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        gradients = self._gradients(ops, stage, delta, out)
        if below is INPUT:
            return gradients, None
        dx = ops.row_norm_delta(delta, stage.x, *stage.extra, params["gain"])
        return gradients, below.delta(ops, dx)


class BatchNorm(_Normalised):
    """Normalise each feature over the batch, then gain * x^ + shift, then the activation.

    Ioffe and Szegedy 2015, arXiv:1502.03167. In training the batch's mean and variance are used and
    the running ones move towards them by `momentum`; outside training the running ones are used.

    A batch of one row has no variance, and its normalised features are all 0: it leaves the running
    mean and variance as they are. Such a batch may be an epoch's last one; a training all of whose
    batches are such is refused.

    Warnings
    --------
    The running variance averages the biased variance that normalised the batch; torch averages the
    unbiased one. They differ by the factor n / (n - 1).
    """

    momentum: float = 0.1
    least_rows = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(momentum=_checks.number("BatchNorm", "momentum", self.momentum, 0.0, 1.0))

    def buffers(self) -> dict[str, host.HostArray]:
        shape = (self.features,)
        return {"mean": host.full(shape, 0.0), "variance": host.full(shape, 1.0)}

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        mean, variance = buffers["mean"], buffers["variance"]
        if not mode.training:
            scale = 1.0 / ops.xp.sqrt(variance + self.eps)
            stage = self._stage(ops, params, x, mean[None, :], scale[None, :])
            return stage._replace(extra=(*stage.extra, False))
        batch_mean, batch_variance, scale = ops.moments(x, 0, self.eps)
        stage = self._stage(ops, params, x, batch_mean, scale)
        if x.shape[0] == 1:
            return stage._replace(extra=(*stage.extra, True))
        keep = 1.0 - self.momentum
        moved = {
            "mean": keep * mean + self.momentum * batch_mean[0, :],
            "variance": keep * variance + self.momentum * batch_variance[0, :],
        }
        return stage._replace(extra=(*stage.extra, True), buffers=moved)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        mean, scale, of_batch = stage.extra
        gradients, gain = self._gradients(ops, stage, delta, out), params["gain"]
        if below is INPUT:
            return gradients, None
        if of_batch:
            own = mean, scale, gain, gradients["gain"], gradients["shift"]
            dx = ops.column_norm_delta(delta, stage.x, *own)
        else:
            dx = delta * gain * scale
        return gradients, below.delta(ops, dx)


class Residual(Layer):
    """A block with a short cut: sigma(x + F(x)), where F is a chain of layers of equal ends.

    He et al. 2015, arXiv:1512.03385.

    Parameters
    ----------
    layers
        The layers of F, whose last width equals their first input width.
    activation
        Name or object, applied to the sum; the identity by default.

    Examples
    --------
    >>> import nnpoly as nn
    >>> block = nn.Residual([nn.Dense(8, 16, "relu"), nn.Dense(16, 8)])
    >>> nn.Network([nn.Dense(2, 8, "relu"), block, nn.Dense(8, 1)]).widths
    [2, 8, 16, 8, 1]
    """

    layers: Sequence[Layer]
    activation: Any = activations.identity
    _width = 0  # kept when it is made: to ask every level's layers takes 3^levels times as long

    def __post_init__(self) -> None:
        layers = check_layers("Residual", self.layers)
        first, last = chain_widths(layers)
        if first != last:
            raise ValueError(
                f"Residual: `layers` must end as wide as they begin, got {first} -> {last}. "
                "Add a Dense layer that restores the width."
            )
        sigma = activations.get(self.activation, "Residual")
        self._set(layers=layers, activation=sigma, _width=first)

    @property
    def random(self) -> bool:  # type: ignore[override]
        """Whether any layer inside draws random numbers."""
        return any(layer.random for layer in self.layers)

    @property
    def least_rows(self) -> int:  # type: ignore[override]
        """The most rows that any layer inside needs."""
        return max(layer.least_rows for layer in self.layers)

    @property
    def input_width(self) -> int:
        return self._width

    def width(self, inputs: int) -> int:
        _require_width(self, self._width, inputs)
        return self._width

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return _joined([layer.shapes() for layer in self.layers])

    def initial(self, rng: host.Generator) -> dict[str, host.HostArray]:
        return _joined([layer.initial(rng) for layer in self.layers])

    def parameter_rates(self) -> dict[str, tuple[float, float]]:
        return _joined([layer.parameter_rates() for layer in self.layers])

    def fill(self, rng: host.Generator, params: Mapping[str, host.HostArray]) -> None:
        if type(self).initial is not Residual.initial:  # a subclass begins otherwise
            super().fill(rng, params)
        else:
            for layer, part in zip(self.layers, self._split(params), strict=True):
                layer.fill(rng, part)

    def buffers(self) -> dict[str, host.HostArray]:
        return _joined([layer.buffers() for layer in self.layers])

    def forward(
        self, ops: Ops, params: Parameters, buffers: Parameters, x: Array, mode: Mode
    ) -> Stage:
        inner = self._split(params)
        stages = forward(ops, self.layers, inner, self._split(buffers), x, mode)
        pre = x + stages[-1].post
        moved = _joined([stage.buffers or {} for stage in stages])
        post = ops.activate(pre, self.activation)
        return Stage(x, pre, post, self.activation, stages, {**buffers, **moved} or None)

    def backward(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage, out: Out
    ) -> tuple[dict[str, Array], Array | None]:
        inner, last = self._split(params), stage.extra[-1]
        # A new array, since `activation_delta` may overwrite what it is given.
        d_last = last.delta(ops, delta * 1.0)
        start = Stage(stage.x, stage.x, stage.x, activations.identity)  # unlike INPUT, has a dx
        grads, _, dx = backward(ops, self.layers, inner, stage.extra, d_last, start)
        assert dx is not None
        return _joined(grads), below.delta(ops, delta + dx)

    def _split(self, joined: Mapping[str, Any]) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = [{} for _ in self.layers]
        for name, value in joined.items():
            place, _, rest = name.partition(".")
            parts[int(place)][rest] = value
        return parts


def _joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {f"{i}.{name}": value for i, part in enumerate(parts) for name, value in part.items()}


# Chains of layers


def forward(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    buffers: Sequence[Parameters],
    x: Array,
    mode: Mode,
) -> list[Stage]:
    """Compute the layers in order. x: (n, m_0). Returns a stage for each."""
    stages = []
    for l, layer in enumerate(layers):
        stage = layer.forward(ops, params[l], buffers[l], x, mode.at(l) if layer.random else mode)
        stages.append(stage)
        x = stage.post
    return stages


def backward(
    ops: Ops,
    layers: Sequence[Layer],
    params: Sequence[Parameters],
    stages: Sequence[Stage],
    delta: Array,
    start: Stage = INPUT,
    out: Sequence[Out] | None = None,
) -> tuple[list[dict[str, Array]], list[Array], Array | None]:
    """Backpropagate through the layers in reverse; each delta is computed once.

    delta: (n, m_L), with respect to the last layer's pre. Returns a dict of gradients and a delta
    for each layer, and the derivative with respect to `start` (None where that is the input).
    """
    grads: list[dict[str, Array]] = [{} for _ in layers]
    deltas = [delta] * len(layers)
    passed: Array | None = delta
    for l in range(len(layers) - 1, -1, -1):
        assert passed is not None  # only the lowest layer may give None
        deltas[l] = passed
        below = stages[l - 1] if l else start
        grads[l], passed = layers[l].backward(
            ops, params[l], stages[l], passed, below, out[l] if out else None
        )
    return grads, deltas, passed


def check_layers(where: str, layers: Any) -> tuple[Layer, ...]:
    """Return `layers` as a non-empty tuple of layers."""
    chain = tuple(layers) if isinstance(layers, list | tuple) else ()
    strangers = [layer for layer in chain if not isinstance(layer, Layer)]
    if not chain or strangers:
        came = repr(strangers[0]) if strangers else repr(layers)
        raise ValueError(
            f"{where}: `layers` must be a non-empty list of layers such as nn.Dense, got {came}."
        )
    return chain


def require_dtype(where: str, layers: Sequence[Layer], dtype: str) -> None:
    """Refuse an eps that is 0 in the dtype."""
    for layer in layers:
        if isinstance(layer, Residual):
            require_dtype(where, layer.layers, dtype)
        elif isinstance(layer, _Normalised) and host.vanishes(layer.eps, dtype):
            raise ValueError(
                f"{where}: `eps` of {type(layer).__name__} must not be 0 in {dtype}, got "
                f"{layer.eps:g}: a constant feature would be divided by 0. Use eps=1e-5, or "
                "dtype='float64'."
            )


def chain_widths(layers: Sequence[Layer]) -> tuple[int, int]:
    """Return the input and output width of a chain, checking that its layers fit each other."""
    known = [layer.input_width for layer in layers if layer.input_width is not None]
    if not known:
        raise ValueError("Network: no layer states its width. Add a Dense layer.")
    width = known[0]
    for layer in layers:
        width = layer.width(width)
    return known[0], width


def dense_layers(layers: Sequence[Layer]) -> list[Dense]:
    """Return the Dense layers in order, those inside residual blocks among them."""
    found: list[Dense] = []
    for layer in layers:
        if isinstance(layer, Dense):
            found.append(layer)
        elif isinstance(layer, Residual):
            found += dense_layers(layer.layers)
    return found
