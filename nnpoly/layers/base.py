"""What a layer is, and the records of its passes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

from .. import _checks, activations
from .._described import Described
from ..activations import Activation
from ..backends import host
from ..primitives import Array, Ops, Scalar
from ..schedules import Schedule

Parameters: TypeAlias = Mapping[str, Array]
Out: TypeAlias = Mapping[str, Array] | None
FromHost: TypeAlias = Callable[[host.HostArray], Array]


class Mode(NamedTuple):
    """Options of a forward pass: training or not, and the numbers of its step."""

    training: bool = False
    keep_pre: bool = True
    key: Scalar = 0  # int32, drawn for this step: see `dropout_scale`
    path: int = 0  # the layer's place in the network
    scheduled: Mapping[Schedule, Scalar] = {}  # their values in this step; else those of the first

    def at(self, position: int) -> Mode:
        """Return the mode of the layer at `position` inside the layer at `path`."""
        return self._replace(path=(1000003 * self.path + position + 1) & 0x7FFFFFFF)

    def number(self, value: float | Schedule) -> Scalar:
        """Return a number of a layer, or what a schedule in its place is in this step."""
        if not isinstance(value, Schedule):
            return value
        return self.scheduled[value] if value in self.scheduled else value(1)


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


def start(x: Array) -> Stage:
    """The stage of an input with respect to which the derivative is wanted, unlike `INPUT`."""
    return Stage(x, x, x, activations.identity)


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
    members = 1  # side by side in the columns of what the layer gives

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

    def adapt(
        self,
        ops: Ops,
        place: FromHost,
        rng: host.Generator,
        params: Mapping[str, host.HostArray],
        x: Array,
    ) -> None:
        """Change the trainable parameters' start, in place, by data: x: (n, m_in).

        place: copies an array of the host to where x lives, in its dtype.
        """

    def parameter_rates(self) -> dict[str, tuple[float, float]]:
        """Return the factors of the learning rate and of the weight decay, by parameter's name.

        An optimiser updates a parameter with its learning rate and weight decay times these. One
        that is not named has (1, 1). A learning rate of factor 0 keeps a parameter as it is; the
        decoupled decay of `AdamW` goes by the factor of the learning rate too, w <- w - (factor of
        the rate) eta (factor of the decay) weight_decay w.
        """
        return dict(self.rates)

    def _check_rates(self) -> None:
        """Store `rates` as pairs, after every argument that `shapes` reads."""
        self._set(rates=_checks.rates(type(self).__name__, self.rates, self.shapes()))

    def schedules(self) -> tuple[Schedule, ...]:
        """Return the schedules whose values the layer finds in the mode of a training step."""
        return ()

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

    def delta_below(
        self, ops: Ops, params: Parameters, stage: Stage, delta: Array, below: Stage
    ) -> Array | None:
        """Return what `backward` returns second, without the gradients where that saves work."""
        return self.backward(ops, params, stage, delta, below, None)[1]

    def row_gradients(
        self, ops: Ops, params: Parameters, buffers: Parameters, stage: Stage, delta: Array
    ) -> dict[str, Array]:
        """Return the parameters' gradients for each row by itself, outside training: (n, ...).

        Here they are those of `backward` for one row after the other.
        """
        rows: list[dict[str, Array]] = []
        for i in range(delta.shape[0]):
            one = self.forward(ops, params, buffers, stage.x[i : i + 1, ...], INFERENCE)
            rows.append(self.backward(ops, params, one, delta[i : i + 1, ...], INPUT, None)[0])
        return {name: ops.xp.stack([row[name] for row in rows]) for name in params}


class OfFeatures(Layer):
    """A layer that has so many features, and gives as many."""

    features: int

    @property
    def input_width(self) -> int:
        return self.features

    def width(self, inputs: int) -> int:
        require_width(self, self.features, inputs)
        return self.features


def require_width(layer: Layer, expected: int, inputs: int) -> None:
    """Refuse an input width that the layer does not take."""
    if expected != inputs:
        raise ValueError(
            f"Network: {layer} takes {expected} inputs, but the layer before it gives {inputs}. "
            "Make the two widths equal."
        )
