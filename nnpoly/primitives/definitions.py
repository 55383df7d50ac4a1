"""The definitions: every computation of the library, written once in the array API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVarTuple, cast

from .arrays import Array, Scalar, device_of
from .table import ElementLoss, Elementwise, Ops, RowLoss, primitive

# Layers


@primitive()
def activate(ops: Ops, pre: Array, activation: Elementwise) -> Array:
    """Post-activations sigma(pre), element-wise."""
    return activation.value(ops, pre)


@primitive(donates=("d_post",))
def activation_delta(
    ops: Ops, d_post: Array, pre: Array | None, post: Array, activation: Elementwise
) -> Array:
    """Derivative with respect to pre from that with respect to post: d_post * sigma'(pre).

    pre may be None where sigma' does not read it.
    """
    return d_post * activation.slope(ops, cast("Array", pre), post)


@primitive()
def dense(
    ops: Ops, x: Array, W: Array, b: Array | None, activation: Elementwise, keep_pre: bool = True
) -> tuple[Array, Array]:
    """Dense layer: pre = x W^T + b and post = sigma(pre).

    x: (n, m_in); W: (m, m_in); b: (m,), or None for none. Returns pre, post: (n, m). Without
    `keep_pre`, an implementation may return None for a pre that the activation's derivative does
    not read.
    """
    pre = x @ W.T if b is None else x @ W.T + b
    return pre, ops.activate(pre, activation)


@primitive()
def dense_delta(
    ops: Ops, delta: Array, W: Array, pre: Array | None, post: Array, activation: Elementwise
) -> Array:
    """Derivative with respect to the pre-activations one layer down: (delta W) * sigma'(pre).

    delta: (n, m_next); W: (m_next, m); pre, post: (n, m). Returns (n, m).
    """
    below: Array = ops.activation_delta(delta @ W, pre, post, activation)
    return below


@primitive(donates=("out",))
def dense_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    out: Mapping[str, Array] | None = None,
    biased: bool = True,
) -> tuple[Array, Array | None]:
    """Gradients of a dense layer: dW = delta^T x, db = column sums of delta.

    delta: (n, m); x: (n, m_in). Returns dW: (m, m_in) and db: (m,), or None unless the layer is
    biased; an implementation may write them into out["W"] and out["b"] and return those.
    """
    return delta.T @ x, ops.xp.sum(delta, axis=0) if biased else None


@primitive()
def dense_row_gradients(ops: Ops, delta: Array, x: Array) -> Array:
    """Gradient of a dense layer for each row by itself: dW_i = delta_i^T x_i, not their sum.

    delta: (n, m); x: (n, m_in). Returns dW: (n, m, m_in). That of b is delta.
    """
    return delta[:, :, None] * x[:, None, :]


@primitive(donates=("out",))
def column_sums(ops: Ops, delta: Array, out: Mapping[str, Array] | None = None) -> Array:
    """Gradient of a shift of each column: the column sums of delta.

    delta: (n, m). Returns (m,); an implementation may write it into out["b"].
    """
    return ops.xp.sum(delta, axis=0)


@primitive()
def moments(ops: Ops, x: Array, axis: int, eps: float) -> tuple[Array, Array, Array]:
    """Mean, biased variance and 1 / sqrt(variance + eps) of x: (n, m) along an axis, which is kept.

    Each is (1, m) for axis 0 and (n, 1) for axis 1.
    """
    xp = ops.xp
    (wide,) = widened(ops, x)
    mean = xp.mean(wide, axis=axis, keepdims=True)
    centred = wide - mean
    variance = xp.mean(centred * centred, axis=axis, keepdims=True)
    mean, variance, scale = narrowed(ops, x, mean, variance, 1.0 / xp.sqrt(variance + eps))
    return mean, variance, scale


@primitive()
def normalise(ops: Ops, x: Array, mean: Array, scale: Array, gain: Array, shift: Array) -> Array:
    """Affine map of normalised inputs: gain x^ + shift, x^ = (x - mean) * scale.

    x: (n, m); mean, scale: (1, m) or (n, 1); gain, shift: (m,). Returns (n, m).
    """
    return (x - mean) * scale * gain + shift


@primitive(donates=("out",))
def norm_gradients(
    ops: Ops,
    delta: Array,
    x: Array,
    mean: Array,
    scale: Array,
    out: Mapping[str, Array] | None = None,
) -> tuple[Array, Array]:
    """Gradients of a normalisation: dgain = column sums of delta * x^, dshift = those of delta.

    delta, x: (n, m); mean, scale: (1, m) or (n, 1). Returns dgain, dshift: (m,); an implementation
    may write them into out["gain"] and out["shift"] and return those.
    """
    xp = ops.xp
    return xp.sum(delta * ((x - mean) * scale), axis=0), xp.sum(delta, axis=0)


@primitive()
def row_norm_delta(
    ops: Ops, delta: Array, x: Array, mean: Array, scale: Array, gain: Array
) -> Array:
    """Derivative with respect to x of gain x^ + shift; mean and scale are those of x's rows.

    With d = delta * gain it is (d - mean of d - x^ * mean of d * x^) * scale, the means being the
    rows'. delta, x: (n, m); mean, scale: (n, 1); gain: (m,). Returns (n, m).
    """
    xp, d, normal = ops.xp, delta * gain, (x - mean) * scale
    along = xp.mean(d * normal, axis=1, keepdims=True)
    return (d - xp.mean(d, axis=1, keepdims=True) - normal * along) * scale


@primitive()
def column_norm_delta(
    ops: Ops,
    delta: Array,
    x: Array,
    mean: Array,
    scale: Array,
    gain: Array,
    dgain: Array,
    dshift: Array,
) -> Array:
    """Derivative with respect to x of gain x^ + shift; mean and scale are those of x's columns.

    It is (delta - dshift / n - x^ * dgain / n) * gain * scale: the columns' sums that it takes are
    the gradients. delta, x: (n, m); mean, scale: (1, m); the others: (m,). Returns (n, m).
    """
    n, normal = x.shape[0], (x - mean) * scale
    return (delta - dshift / n - normal * (dgain / n)) * (gain * scale)


# The standard normal distribution function, which the array API lacks. For u = |z| the upper tail
# is exp(-u^2 / 2) q(u), where q(u) = erfcx(u / sqrt 2) / 2 falls smoothly from 1/2 to 0. In
# t = (u - 4) / (u + 4), which maps [0, inf) onto [-1, 1), q is a short polynomial: the truncated
# Chebyshev series of q, computed with 50 digits and converted to powers of t, lowest first. The
# series of 11 terms is good to float32 and that of 24 terms to float64.

TAIL_CENTRE = 4.0
# Beyond this the density underflows in float64; clamping keeps u^2 finite in every float type.
TAIL_END = 40.0

TAIL_SINGLE = (
    0.09441064260748247,
    -0.1703976894669538,
    0.12437916006397212,
    -0.07170805958047266,
    0.030865937056417783,
    -0.008488349618920317,
    0.0005025865374741987,
    0.0006298726324926129,
    -0.00017711176832157545,
    -3.5776685043746024e-05,
    1.8786717652412837e-05,
)
TAIL_DOUBLE = (
    0.09441064130196893,
    -0.17039772154845542,
    0.12437925533926537,
    -0.07170740733773803,
    0.03086480410622515,
    -0.008492095482084967,
    0.000507562076799988,
    0.0006388138514064342,
    -0.00018718428669896724,
    -4.5554892640417344e-05,
    2.8648442798579606e-05,
    4.631555015543092e-06,
    -4.303904346491218e-06,
    -8.294129430235673e-07,
    6.62297108753446e-07,
    2.0602260013457762e-07,
    -9.534702277947434e-08,
    -5.2845602685133334e-08,
    1.0479978903484804e-08,
    1.192568322987461e-08,
    -4.583989356967971e-10,
    -2.0206904361824695e-09,
    -4.767851228809609e-11,
    1.8544963358123816e-10,
)


def tail_series(eps: float) -> tuple[float, ...]:
    """The coefficients of q, the highest first, for a machine epsilon of `eps`."""
    return (TAIL_SINGLE if eps > 1e-8 else TAIL_DOUBLE)[::-1]


@primitive()
def normal_cdf(ops: Ops, z: Array) -> Array:
    """Standard normal distribution function, element-wise."""
    xp = ops.xp
    # `where`, not `minimum`: one spelling that takes a Python float in every library; NaN passes.
    u = xp.abs(z)
    u = xp.where(u > TAIL_END, xp.full_like(u, TAIL_END), u)
    t = 1.0 - 2.0 * TAIL_CENTRE / (u + TAIL_CENTRE)
    highest, *rest = tail_series(float(xp.finfo(z.dtype).eps))
    q = xp.full_like(u, highest)
    for c in rest:
        q = q * t + c
    tail = xp.exp(-0.5 * (u * u)) * q
    return xp.where(z < 0, tail, 1.0 - tail)


@primitive()
def dropout_scale(ops: Ops, x: Array, rate: Scalar, key: Array | int, path: int) -> Array:
    """Factors of inverted dropout, shaped like x: (n, m): 0 with probability rate, else 1/(1-rate).

    Element (i, j) is kept by a hash of (key, path, i, j) in 32-bit integers, so that every backend
    draws bit-equal masks, on its own device. key: an int32; path: the layer's place in the network.
    """
    xp, (n, m), device = ops.xp, x.shape, device_of(x)
    rows = xp.arange(n, dtype=xp.int32, device=device)
    columns = xp.arange(m, dtype=xp.int32, device=device)
    rows = _mix(_mix(_mix(rows) ^ path) ^ key)
    bits = _mix(rows[:, None] + _mix(columns + 1)[None, :])
    threshold: Any = rate * 0x1000000
    least = int(threshold) if isinstance(rate, float) else xp.astype(threshold, xp.int32)
    kept = (bits & 0xFFFFFF) >= least
    return xp.astype(kept, x.dtype) * (1.0 / (1.0 - rate))


def _mix(h: Array) -> Array:
    """Scramble 32-bit integers one-to-one: xor-shifts and odd multipliers, wrapping around."""
    h = h ^ ((h >> 16) & 0xFFFF)
    h = h * 0x7FEB352D
    h = h ^ ((h >> 15) & 0x1FFFF)
    h = h * -0x7B935975  # 0x846CA68B as a signed 32-bit integer
    return h ^ ((h >> 16) & 0xFFFF)


# Outputs and losses: each pair is differentiated as one, from the scores, so nothing overflows.
# With sample_weight s: (n,), the loss is 1/n sum_i s_i l_i, and row i of delta is times s_i.


Rest = TypeVarTuple("Rest")


def widened(ops: Ops, first: Array, *rest: *Rest) -> tuple[Array, *Rest]:
    """Arrays of half precision in single precision; others, and None, as they are.

    Half precision ends at 65504, so that neither the losses of a batch can be added up in it, nor
    can a sum be divided by more samples. The first array decides.
    """
    xp, dtype = ops.xp, first.dtype
    if xp.finfo(dtype).bits > 16:
        return first, *rest
    given: tuple[Any, ...] = (first, *rest)
    wide: tuple[Any, ...] = tuple(
        array if array is None or array.dtype != dtype else xp.astype(array, xp.float32)
        for array in given
    )
    return wide


def narrowed(ops: Ops, like: Array, *arrays: Array) -> tuple[Array, ...]:
    """Arrays in the floating type of `like`."""
    if like.dtype == arrays[0].dtype:
        return arrays
    # `asarray`, since NumPy's `astype` refuses its scalars.
    return tuple(ops.xp.asarray(array, dtype=like.dtype) for array in arrays)


def _weighted(sample_weight: Array | None, losses: Array, slopes: Array) -> tuple[Array, Array]:
    """Arrays (n, K) with row i times sample_weight[i]; None stands for ones."""
    if sample_weight is None:
        return losses, slopes
    return sample_weight[:, None] * losses, sample_weight[:, None] * slopes


@primitive()
def softmax(ops: Ops, scores: Array) -> Array:
    """Softmax of each row. scores: (n, K)."""
    exps = ops.xp.exp(scores - ops.xp.max(scores, axis=1, keepdims=True))
    return exps / ops.xp.sum(exps, axis=1, keepdims=True)


@primitive()
def one_hot(ops: Ops, y: Array, like: Array) -> Array:
    """Rows of targets shaped like `like`: (n, K). y: class indices (n,), or rows already (n, K)."""
    if y.ndim == 2:
        return y
    xp = ops.xp
    classes = xp.arange(like.shape[1], dtype=y.dtype, device=device_of(like))
    return xp.astype(y[:, None] == classes[None, :], like.dtype)


@primitive()
def cross_entropy(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """Softmax and cross-entropy: -1/n sum_ik y_ik log f_ik, and delta = (f - y) / n.

    scores: (n, K); y: class indices (n,) or rows (n, K); sample_weight: (n,) or None. Returns a 0-d
    loss and delta: (n, K).
    """
    xp, n = ops.xp, scores.shape[0]
    z, y, sample_weight = widened(ops, scores, y, sample_weight)
    shifted = z - xp.max(z, axis=1, keepdims=True)
    exps = xp.exp(shifted)
    total = xp.sum(exps, axis=1, keepdims=True)
    target = ops.one_hot(y, z)
    losses = target * (xp.log(total) - shifted)
    losses, delta = _weighted(sample_weight, losses, exps / total - target)
    loss, delta = narrowed(ops, scores, xp.sum(losses) / n, delta / n)
    return loss, delta


@primitive()
def logistic(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """Sigmoid and logistic loss: -1/n sum_i [y log f + (1-y) log(1-f)], and delta = (f - y) / n.

    scores, y: (n, K); the sum runs over the K outputs too. From the scores z the loss of one output
    is max(z, 0) - z y + log(1 + exp(-|z|)). sample_weight: (n,) or None.
    """
    xp, n = ops.xp, scores.shape[0]
    z, y, sample_weight = widened(ops, scores, y, sample_weight)
    small = xp.exp(-xp.abs(z))  # in (0, 1]: no overflow for any score
    positive = xp.where(z > 0, z, xp.zeros_like(z))
    losses = positive - z * y + xp.log1p(small)
    f = xp.where(z >= 0, xp.ones_like(small), small) / (1.0 + small)
    losses, delta = _weighted(sample_weight, losses, f - y)
    loss, delta = narrowed(ops, scores, xp.sum(losses) / n, delta / n)
    return loss, delta


@primitive()
def squared_error(
    ops: Ops, scores: Array, y: Array, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """Half mean squared error: 1/(2n) sum_i ||y_i - f_i||^2, and delta = (f - y) / n.

    scores, y: (n, K); sample_weight: (n,) or None.
    """
    n = scores.shape[0]
    f, y, sample_weight = widened(ops, scores, y, sample_weight)
    difference = f - y
    squares, delta = _weighted(sample_weight, difference * difference, difference)
    loss, delta = narrowed(ops, scores, ops.xp.sum(squares) / (2 * n), delta / n)
    return loss, delta


@primitive()
def element_loss(
    ops: Ops, scores: Array, y: Array, loss: ElementLoss, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """A loss that is a sum over the outputs: 1/n sum_ik l(z_ik, y_ik), and delta = l'(z, y) / n.

    scores z, y: (n, K); loss: l and l'; sample_weight: (n,) or None.
    """
    n = scores.shape[0]
    z, y, sample_weight = widened(ops, scores, y, sample_weight)
    losses, slopes = _weighted(sample_weight, *loss.elements(ops, z, y))
    total, delta = narrowed(ops, scores, ops.xp.sum(losses) / n, slopes / n)
    return total, delta


@primitive()
def row_loss(
    ops: Ops, scores: Array, y: Array, loss: RowLoss, sample_weight: Array | None = None
) -> tuple[Array, Array]:
    """A loss of whole rows: 1/n sum_i l_i, and delta = dl_i/dscores / n.

    scores: (n, K); y: class indices (n,) or rows (n, K); loss: l and its derivative; sample_weight:
    (n,) or None.
    """
    n = scores.shape[0]
    z, y, sample_weight = widened(ops, scores, y, sample_weight)
    losses, slopes = loss.rows(ops, z, y)
    if sample_weight is not None:
        losses, slopes = sample_weight * losses, sample_weight[:, None] * slopes
    total, delta = narrowed(ops, scores, ops.xp.sum(losses) / n, slopes / n)
    return total, delta


# Data and the flat vector


@primitive()
def gather(ops: Ops, x: Array, indices: Array) -> Array:
    """Rows of x, a minibatch. x: (N, ...); indices: (n,)."""
    return ops.xp.take(x, indices, axis=0)


@primitive(donates=("out", "views"))
def flatten(
    ops: Ops,
    pieces: Sequence[Array],
    out: Array | None = None,
    views: Sequence[Array] | None = None,
) -> Array:
    """One vector of all pieces in order; an implementation may fill `out`, given its views."""
    return ops.xp.concat([ops.xp.reshape(piece, (-1,)) for piece in pieces])


@primitive()
def clip_norm(ops: Ops, g: Array, limit: float) -> Array:
    """Gradient clipped by its global norm: g * min(1, limit / ||g||). g: (P,)."""
    xp = ops.xp
    (wide,) = widened(ops, g)
    norm = xp.sqrt(xp.sum(wide * wide))
    clipped = wide * (limit / xp.where(norm > limit, norm, xp.full_like(norm, limit)))
    return narrowed(ops, g, clipped)[0]


# Optimisers: updates of the flat vectors w, g and moments, all (P,)


@primitive()
def penalised(ops: Ops, g: Array, w: Array, weight_decay: Scalar) -> Array:
    """Gradient with that of the penalty weight_decay / 2 ||w||^2: g + weight_decay w."""
    return g + weight_decay * w


@primitive(donates=("w",))
def decayed(ops: Ops, w: Array, learning_rate: Scalar, weight_decay: Scalar) -> Array:
    """Decoupled weight decay: w (1 - eta weight_decay)."""
    return w * (1.0 - learning_rate * weight_decay)


@primitive(donates=("average",))
def averaged(ops: Ops, average: Array, w: Array, decay: float) -> Array:
    """Moving average: decay average + (1 - decay) w."""
    return decay * average + (1.0 - decay) * w


def _root(ops: Ops, s: Array, eps: float, eps_inside_sqrt: bool) -> Array:
    return ops.xp.sqrt(s + eps) if eps_inside_sqrt else ops.xp.sqrt(s) + eps


@primitive(donates=("w",))
def sgd(ops: Ops, w: Array, g: Array, learning_rate: Scalar) -> Array:
    """Gradient descent: w - eta g."""
    return w - learning_rate * g


@primitive(donates=("w", "v"))
def momentum(
    ops: Ops,
    w: Array,
    g: Array,
    v: Array,
    learning_rate: Scalar,
    momentum: float,
    nesterov: bool,
) -> tuple[Array, Array]:
    """Momentum: v = mu v + g; w - eta v, or with Nesterov's look-ahead w - eta (g + mu v)."""
    v = momentum * v + g
    direction = g + momentum * v if nesterov else v
    return w - learning_rate * direction, v


@primitive(donates=("w", "s"))
def adagrad(
    ops: Ops,
    w: Array,
    g: Array,
    s: Array,
    learning_rate: Scalar,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array]:
    """AdaGrad: s = s + g^2; w - eta g / sqrt(s + eps)."""
    s = s + g * g
    return w - learning_rate * g / _root(ops, s, eps, eps_inside_sqrt), s


@primitive(donates=("w", "s"))
def rmsprop(
    ops: Ops,
    w: Array,
    g: Array,
    s: Array,
    learning_rate: Scalar,
    beta: float,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array]:
    """RMSProp: s = beta s + (1 - beta) g^2; w - eta g / sqrt(s + eps)."""
    s = beta * s + (1.0 - beta) * (g * g)
    return w - learning_rate * g / _root(ops, s, eps, eps_inside_sqrt), s


@primitive(donates=("w", "m", "s"))
def adam(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    learning_rate: Scalar,
    beta1: float,
    beta2: float,
    unbias_m: Scalar,
    unbias_s: Scalar,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array]:
    """Adam: m = b1 m + (1-b1) g; s = b2 s + (1-b2) g^2; w - eta m^ / sqrt(s^ + eps).

    m^ = m * unbias_m and s^ = s * unbias_s, where unbias = 1 / (1 - beta^t) is a Python float: in
    float32 the difference would lose four digits.
    """
    m = beta1 * m + (1.0 - beta1) * g
    s = beta2 * s + (1.0 - beta2) * (g * g)
    root = _root(ops, s * unbias_s, eps, eps_inside_sqrt)
    return w - learning_rate * (m * unbias_m) / root, m, s


@primitive(donates=("w", "m", "s"))
def nadam(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    learning_rate: Scalar,
    beta1: float,
    beta2: float,
    weight_m: Scalar,
    weight_g: Scalar,
    unbias_s: Scalar,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array]:
    """NAdam: Adam whose m^ looks one step ahead: m^ = weight_m m + weight_g g."""
    m = beta1 * m + (1.0 - beta1) * g
    s = beta2 * s + (1.0 - beta2) * (g * g)
    root = _root(ops, s * unbias_s, eps, eps_inside_sqrt)
    return w - learning_rate * (weight_m * m + weight_g * g) / root, m, s


@primitive(donates=("w", "m", "s", "peak"))
def amsgrad(
    ops: Ops,
    w: Array,
    g: Array,
    m: Array,
    s: Array,
    peak: Array,
    learning_rate: Scalar,
    beta1: float,
    beta2: float,
    unbias_m: Scalar,
    unbias_s: Scalar,
    eps: float,
    eps_inside_sqrt: bool,
) -> tuple[Array, Array, Array, Array]:
    """AMSGrad: Adam that divides by the largest s so far, peak = max(peak, s)."""
    m = beta1 * m + (1.0 - beta1) * g
    s = beta2 * s + (1.0 - beta2) * (g * g)
    peak = ops.xp.maximum(peak, s)
    root = _root(ops, peak * unbias_s, eps, eps_inside_sqrt)
    return w - learning_rate * (m * unbias_m) / root, m, s, peak


@primitive(donates=("w", "m"))
def lion(
    ops: Ops, w: Array, g: Array, m: Array, learning_rate: Scalar, beta1: float, beta2: float
) -> tuple[Array, Array]:
    """Lion: w - eta sign(b1 m + (1-b1) g); then m = b2 m + (1-b2) g."""
    direction = ops.xp.sign(beta1 * m + (1.0 - beta1) * g)
    return w - learning_rate * direction, beta2 * m + (1.0 - beta2) * g
