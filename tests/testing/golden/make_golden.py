"""Write golden.npz: reference gradients and optimiser runs from torch autograd in float64.

Nothing here imports nnpoly, so the file is an independent witness of what nnpoly must compute.
Run ``python tests/testing/golden/make_golden.py`` to rewrite it. Layers count from 0, as in nnpoly.

Keys
----
``net/<network>/{X, y, output, loss, dX}`` and, a layer i, ``{W, b, pre, post, delta, dW, db}<i>``
    One forward and backward pass. The last ``post`` is its ``pre``: the scores.
``opt/<network>/<rule>/w``
    The flat parameters (W row by row, then b, layer by layer) after each full-batch step, a step a
    row. The network's own W and b are the start.
``meta``
    JSON: ``versions``, ``steps``, ``networks`` and ``rules`` (a class of nnpoly and its arguments).
"""

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

STEPS = 10
OPTIMISED = ("tanh_softmax", "softplus_mse")


class Spec(NamedTuple):
    """A network's shape and functions, and how many samples it sees."""

    widths: list[int]
    activation: str
    output: str
    samples: int


NETWORKS = {
    "tanh_softmax": Spec([2, 8, 2], "tanh", "softmax", 7),
    "relu_softmax": Spec([6, 5, 4, 3], "relu", "softmax", 7),
    "sigmoid_logistic": Spec([4, 7, 1], "sigmoid", "sigmoid", 6),
    "gelu_mse": Spec([5, 6, 2], "gelu", "identity", 5),
    "gelu_tanh_mse": Spec([3, 4, 2], "gelu_tanh", "identity", 5),
    "softplus_mse": Spec([3, 4, 2], "softplus", "identity", 6),
    "silu_softmax": Spec([3, 4, 2], "silu", "softmax", 4),
    "elu_mse": Spec([3, 4, 2], "elu", "identity", 4),
    "selu_mse": Spec([3, 4, 2], "selu", "identity", 4),
    "mish_softmax": Spec([3, 4, 2], "mish", "softmax", 5),
    "leaky_relu_softmax": Spec([3, 4, 2], "leaky_relu", "softmax", 5),
    "deep_logistic": Spec([3, 5, 4, 3, 1], "silu", "sigmoid", 5),
    "single_mse": Spec([3, 4, 1], "tanh", "identity", 1),
    "no_hidden_softmax": Spec([4, 3], "identity", "softmax", 3),
}

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "tanh": torch.tanh,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "softplus": F.softplus,
    "silu": F.silu,
    "elu": F.elu,
    "selu": F.selu,
    "mish": F.mish,
    "leaky_relu": F.leaky_relu,
}

OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": partial(torch.softmax, dim=1),
}


def mse(scores: Tensor, y: Tensor) -> Tensor:
    """Half the squared error, summed over the outputs and averaged over the batch."""
    return ((scores - y) ** 2).sum() / (2 * len(y))


def logistic(scores: Tensor, y: Tensor) -> Tensor:
    """Logistic loss of one output neuron for labels 0 and 1."""
    return F.binary_cross_entropy_with_logits(scores[:, 0], y.to(scores.dtype))


LOSSES: dict[str, tuple[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "identity": ("mse", mse),
    "sigmoid": ("logistic", logistic),
    "softmax": ("cross_entropy", F.cross_entropy),
}


def draw(name: str) -> dict[str, np.ndarray]:
    """Draw X, y, W0, b0, W1, ... in this order from a generator that the name alone seeds."""
    spec = NETWORKS[name]
    rng = np.random.default_rng(list(name.encode()))
    arrays: dict[str, np.ndarray] = {"X": rng.normal(size=(spec.samples, spec.widths[0]))}
    if spec.output == "identity":
        arrays["y"] = rng.normal(size=(spec.samples, spec.widths[-1]))
    else:
        arrays["y"] = rng.integers(max(spec.widths[-1], 2), size=spec.samples)
    for i, (m_in, m_out) in enumerate(pairwise(spec.widths)):
        arrays[f"W{i}"] = rng.normal(size=(m_out, m_in)) * np.sqrt(2 / m_in)
        arrays[f"b{i}"] = rng.normal(size=m_out) * 0.5
    return arrays


def forward(spec: Spec, X: Tensor, parameters: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Return every layer's pre- and post-activation; ``parameters`` alternates W and b."""
    pre, post, h = [], [], X
    for W, b in zip(parameters[::2], parameters[1::2], strict=True):
        pre.append(h @ W.T + b)
        h = ACTIVATIONS[spec.activation](pre[-1])
        post.append(h)
    return pre, [*post[:-1], pre[-1]]


def numbered(key: str, layers: list[Tensor]) -> dict[str, Tensor]:
    """Name a tensor of each layer."""
    return {f"{key}{i}": tensor for i, tensor in enumerate(layers)}


def network_record(name: str) -> dict[str, np.ndarray]:
    """Return a network's inputs and everything that its forward and backward passes compute."""
    spec, arrays = NETWORKS[name], draw(name)
    X, y, *parameters = (torch.from_numpy(array) for array in arrays.values())
    for leaf in (X, *parameters):
        leaf.requires_grad_()
    pre, post = forward(spec, X, parameters)
    loss = LOSSES[spec.output][1](pre[-1], y)
    wrt = {"dX": X} | numbered("delta", pre)
    wrt |= numbered("dW", parameters[::2]) | numbered("db", parameters[1::2])
    gradients = dict(zip(wrt, torch.autograd.grad(loss, list(wrt.values())), strict=True))
    values = {"output": OUTPUTS[spec.output](pre[-1]), "loss": loss}
    values |= numbered("pre", pre) | numbered("post", post)
    return arrays | {key: value.detach().numpy() for key, value in (values | gradients).items()}


def roots(name: str, cls: str, eps: float = 1e-8, **kwargs: float) -> dict[str, tuple[str, dict]]:
    """Return a rule twice: with eps inside the root and outside."""
    return {
        f"{name}_{side}": (cls, {**kwargs, "eps": eps, "eps_inside_sqrt": side == "inside"})
        for side in ("inside", "outside")
    }


ADAM = {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999}
RMSPROP = {"learning_rate": 0.01, "beta": 0.9}
LION = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1}
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {"learning_rate": 0.1}),
    "sgd_momentum": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd_l2": ("SGD", {"learning_rate": 0.1, "weight_decay": 0.1}),
    "sgd_clip": ("SGD", {"learning_rate": 0.1, "clip_norm": 0.1}),
    "sgd_clip_at_first": ("SGD", {"learning_rate": 0.1, "clip_norm": 0.4}),
    **roots("adagrad", "AdaGrad", learning_rate=0.1),
    **roots("adagrad_eps1e-3", "AdaGrad", 1e-3, learning_rate=0.1),
    **roots("rmsprop", "RMSProp", **RMSPROP),
    **roots("rmsprop_eps1e-3", "RMSProp", 1e-3, **RMSPROP),
    **roots("adam", "Adam", **ADAM),
    **roots("adam_eps1e-3", "Adam", 1e-3, **ADAM),
    "adam_l2_outside": (
        "Adam",
        {**ADAM, "weight_decay": 0.1, "eps": 1e-8, "eps_inside_sqrt": False},
    ),
    **roots("adamw", "AdamW", **ADAM, weight_decay=0.1),
    **roots("amsgrad", "AMSGrad", **ADAM),
    **roots("amsgrad_beta2_0.5", "AMSGrad", **{**ADAM, "beta2": 0.5}),
    **roots("nadam", "NAdam", **ADAM),
    "lion": ("Lion", LION),
}


def averages(values: Tensor, beta: float) -> Tensor:
    """Return the moving average before the first row of ``values`` (zero) and after each."""
    rows = [torch.zeros_like(values[0])]
    for value in values:
        rows.append(beta * rows[-1] + (1 - beta) * value)
    return torch.stack(rows)


def root(s: Tensor, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """Return the denominator of an adaptive step."""
    return torch.sqrt(s + eps) if eps_inside_sqrt else torch.sqrt(s) + eps


def clipped(g: Tensor, clip_norm: float) -> Tensor:
    """Gradient clipped by its global norm; torch's function adds 1e-6 to the norm."""
    return g[-1] * min(1.0, clip_norm / float(torch.linalg.vector_norm(g[-1])))


def adagrad(g: Tensor, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """AdaGrad's direction."""
    return g[-1] / root((g**2).sum(dim=0), eps, eps_inside_sqrt)


def rmsprop(g: Tensor, beta: float, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """RMSProp's direction."""
    return g[-1] / root(averages(g**2, beta)[-1], eps, eps_inside_sqrt)


def adam(g: Tensor, beta1: float, beta2: float, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """Adam's direction."""
    m_hat = averages(g, beta1)[-1] / (1 - beta1 ** len(g))
    s_hat = averages(g**2, beta2)[-1] / (1 - beta2 ** len(g))
    return m_hat / root(s_hat, eps, eps_inside_sqrt)


def amsgrad(g: Tensor, beta1: float, beta2: float, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """Adam's direction over the largest s so far, taken before its bias correction."""
    m_hat = averages(g, beta1)[-1] / (1 - beta1 ** len(g))
    s_hat = averages(g**2, beta2).amax(dim=0) / (1 - beta2 ** len(g))
    return m_hat / root(s_hat, eps, eps_inside_sqrt)


def nadam(g: Tensor, beta1: float, beta2: float, eps: float, eps_inside_sqrt: bool) -> Tensor:
    """Adam's direction with one step of look-ahead in m; torch's NAdam schedules beta1 instead."""
    t = len(g)
    m_hat = beta1 * averages(g, beta1)[-1] / (1 - beta1 ** (t + 1))
    m_hat += (1 - beta1) * g[-1] / (1 - beta1**t)
    s_hat = averages(g**2, beta2)[-1] / (1 - beta2**t)
    return m_hat / root(s_hat, eps, eps_inside_sqrt)


def lion(g: Tensor, beta1: float, beta2: float) -> Tensor:
    """Lion's direction."""
    return torch.sign(beta1 * averages(g, beta2)[-2] + (1 - beta1) * g[-1])


HAND: dict[str, Callable[..., Tensor]] = {
    "SGD": clipped,
    "AdaGrad": adagrad,
    "RMSProp": rmsprop,
    "Adam": adam,
    "AdamW": adam,
    "AMSGrad": amsgrad,
    "NAdam": nadam,
    "Lion": lion,
}

TORCH: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": torch.optim.SGD,
    "AdaGrad": torch.optim.Adagrad,
    "RMSProp": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "AMSGrad": partial(torch.optim.Adam, amsgrad=True),
}


def source(cls: str, kwargs: dict[str, Any]) -> str:
    """Say who computes a rule: torch.optim wherever it has the formula, else the text above."""
    own = cls not in TORCH or kwargs.get("eps_inside_sqrt", False) or "clip_norm" in kwargs
    return "by hand" if own else "torch.optim"


def by_hand(
    w: Tensor, cls: str, *, learning_rate: float, weight_decay: float = 0.0, **kwargs: Any
) -> Callable[[], None]:
    """Return a call that updates ``w`` from ``w.grad``; the weight decay is decoupled.

    A direction is a function of all gradients so far, a step a row, and so has no state to keep.
    """
    gradients: list[Tensor] = []

    @torch.no_grad()
    def step() -> None:
        assert w.grad is not None
        gradients.append(w.grad)
        w.sub_(learning_rate * (HAND[cls](torch.stack(gradients), **kwargs) + weight_decay * w))

    return step


def by_torch(w: Tensor, cls: str, **kwargs: Any) -> Callable[[], None]:
    """Return a call that updates ``w`` from ``w.grad`` by the rule of torch.optim."""
    names = {"learning_rate": "lr", "beta": "alpha"}
    kwargs.pop("eps_inside_sqrt", None)
    if "beta1" in kwargs:
        kwargs["betas"] = (kwargs.pop("beta1"), kwargs.pop("beta2"))
    return TORCH[cls]([w], **{names.get(key, key): value for key, value in kwargs.items()}).step


def trajectory(name: str, rule: str) -> np.ndarray:
    """Return the flat parameters of a network after each step of a rule, a step a row."""
    spec, (cls, kwargs) = NETWORKS[name], RULES[rule]
    X, y, *start = (torch.from_numpy(array) for array in draw(name).values())
    w = torch.cat([p.flatten() for p in start]).requires_grad_()
    step = (by_hand if source(cls, kwargs) == "by hand" else by_torch)(w, cls, **kwargs)
    rows = []
    for _ in range(STEPS):
        parts = w.split([p.numel() for p in start])
        parameters = [part.view(p.shape) for part, p in zip(parts, start, strict=True)]
        scores = forward(spec, X, parameters)[0][-1]
        (w.grad,) = torch.autograd.grad(LOSSES[spec.output][1](scores, y), w)
        step()
        rows.append(w.detach().clone())
    return torch.stack(rows).numpy()


def meta() -> dict[str, Any]:
    """Describe the networks, the rules and the libraries that computed them."""
    return {
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
        "steps": STEPS,
        "networks": {
            name: {**spec._asdict(), "loss": LOSSES[spec.output][0]}
            for name, spec in NETWORKS.items()
        },
        "rules": {
            rule: {"class": cls, "kwargs": kwargs, "source": source(cls, kwargs)}
            for rule, (cls, kwargs) in RULES.items()
        },
    }


def main() -> None:
    """Write golden.npz beside this file."""
    torch.set_num_threads(1)
    arrays = {"meta": np.array(json.dumps(meta()))}
    for name in NETWORKS:
        arrays |= {f"net/{name}/{key}": value for key, value in network_record(name).items()}
    for name in OPTIMISED:
        arrays |= {f"opt/{name}/{rule}/w": trajectory(name, rule) for rule in RULES}
    np.savez_compressed(Path(__file__).with_name("golden.npz"), allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
