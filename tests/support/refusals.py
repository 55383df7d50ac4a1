"""Invalid arguments of networks, layers, optimisers and trainers.

Each row is a call, the function that its error must name, and a part of the error's message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import nnpoly as nn
from nnpoly import activations, initializers, schedules
from nnpoly.callbacks import stopping as callbacks

W, B = np.ones((2, 3)), np.ones(2)
DENSE = nn.Dense(3, 2)
Refusal = tuple[Callable[[], Any], str, str]
FLOATS = "`dtype` must be one of float16, float32, float64, got"

NETWORKS: list[Refusal] = [
    (lambda: nn.MLP([3]), "MLP", "`widths` must be [inputs, ..., outputs]"),
    (lambda: nn.MLP(3), "MLP", "at least two integers, got 3."),
    (lambda: nn.MLP("34"), "MLP", "at least two integers, got '34'."),
    (lambda: nn.MLP(None), "MLP", "at least two integers, got None."),
    (lambda: nn.MLP([3, 0, 2]), "MLP", "`widths[1]` must be an integer >= 1, got 0."),
    (lambda: nn.MLP([3, 2.5]), "MLP", "`widths[1]` must be an integer >= 1, got 2.5."),
    (lambda: nn.MLP([3, True]), "MLP", "`widths[1]` must be an integer >= 1, got True."),
    (lambda: nn.MLP(["3", 2]), "MLP", "`widths[0]` must be an integer >= 1, got '3'."),
    (lambda: nn.MLP([3, 2], "rely"), "MLP", "`activation` must be one of elu, "),
    (lambda: nn.MLP([3, 2], None), "MLP", "`activation` must be one of elu, "),
    (lambda: nn.MLP([3, 2], output="relu"), "MLP", "`output` must be one of exp, identity, "),
    (lambda: nn.MLP([3, 2], init="he"), "MLP", "`init` must be one of kaiming_normal, "),
    (lambda: nn.MLP([3, 2], dtype="int32"), "MLP", f"{FLOATS} 'int32'."),
    (lambda: nn.MLP([3, 2], dtype=np.int8), "MLP", f"{FLOATS} 'int8'."),
    (lambda: nn.MLP([3, 2], dtype=None), "MLP", f"{FLOATS} 'None'."),
    (lambda: nn.MLP([3, 2], seed=-1), "MLP", "`seed` must be an integer >= 0, got -1."),
    (lambda: nn.MLP([3, 2], seed=1.5), "MLP", "`seed` must be an integer >= 0, got 1.5."),
    (lambda: nn.MLP([3, 2], seed=True), "MLP", "`seed` must be an integer >= 0, got True."),
    (lambda: nn.MLP([3, 2], backend="abacus"), "MLP", "`backend` must be one of cupy, "),
    (lambda: nn.MLP([3, 2], device="gpu"), "numpy", "`device` must be None or 'cpu', got 'gpu'."),
    (lambda: nn.MLP([3, 2]).to("abacus"), "Network.to", "`backend` must be one of cupy, "),
    (lambda: nn.MLP([3, 2]).to(dtype="f2"), "Network.to", f"{FLOATS} 'f2'."),
    (lambda: nn.Network([]), "Network", "`layers` must be a non-empty list of layers"),
    (lambda: nn.Network(DENSE), "Network", "`layers` must be a non-empty list of layers"),
    (lambda: nn.Network([DENSE, "relu"]), "Network", "such as nn.Dense, got 'relu'."),
    (lambda: nn.Network([nn.Dropout(0.5)]), "Network", "no layer states its width. Add a Dense"),
    (lambda: nn.Network([DENSE, nn.Dense(4, 2)]), "Network", "takes 4 inputs, but the layer bef"),
    (
        lambda: nn.Network([DENSE, nn.LayerNorm(3)]),
        "Network",
        "gives 2. Make the two widths equal.",
    ),
    (lambda: nn.Network([nn.Dense(3, 2, "relu")]), "Network", "last layer's activation must be th"),
    (lambda: nn.Network([DENSE], dtype="f4"), "Network", f"{FLOATS} 'f4'."),
]

FROM = "MLP.from_weights"
WEIGHTS: list[Refusal] = [
    (lambda: nn.MLP.from_weights(None, [B]), FROM, "`Ws` must be a list of arrays, got NoneType."),
    (lambda: nn.MLP.from_weights([W], B), FROM, "`bs` must be a list of arrays, got ndarray."),
    (lambda: nn.MLP.from_weights([], []), FROM, "one entry a layer each, got 0 and 0."),
    (lambda: nn.MLP.from_weights([W], [B, B]), FROM, "one entry a layer each, got 1 and 2."),
    (lambda: nn.MLP.from_weights([B], [B]), FROM, "`Ws[0]` must have shape (m, 2), got (2,)."),
    (
        lambda: nn.MLP.from_weights([W, W], [B, B]),
        FROM,
        "`Ws[1]` must have shape (m, 2), got (2, 3)",
    ),
    (lambda: nn.MLP.from_weights([W], [W[0]]), FROM, "`bs[0]` must have shape (2,), got (3,)."),
    (
        lambda: nn.MLP.from_weights([W * 1j], [B]),
        FROM,
        "`Ws[0]` must hold real numbers, got dtype c",
    ),
    (
        lambda: nn.MLP.from_weights([W], [["a", "b"]]),
        FROM,
        "`bs[0]` must hold real numbers, got dty",
    ),
    (lambda: nn.MLP.from_weights([[[1], [1, 2]]], [B]), FROM, "`Ws[0]` is no rectangular array: "),
    (
        lambda: nn.MLP.from_weights([W[:0]], [B[:0]]),
        "MLP",
        "`widths[1]` must be an integer >= 1, g",
    ),
]

LAYERS: list[Refusal] = [
    (lambda: nn.Dense(0, 2), "Dense", "`inputs` must be an integer >= 1, got 0."),
    (lambda: nn.Dense(2, 2.0), "Dense", "`outputs` must be an integer >= 1, got 2.0."),
    (lambda: nn.Dense(2, 2, "rely"), "Dense", "`activation` must be one of elu, "),
    (lambda: nn.Dense(2, 2, init="he"), "Dense", "`init` must be one of kaiming_normal, "),
    (lambda: nn.Dropout(1.0), "Dropout", "`rate` must be below 1, got 1.0: nothing would pass."),
    (lambda: nn.Dropout(-0.1), "Dropout", "`rate` must be a number in [0, 1], got -0.1."),
    (lambda: nn.LayerNorm(0), "LayerNorm", "`features` must be an integer >= 1, got 0."),
    (lambda: nn.LayerNorm(2, eps=0.0), "LayerNorm", "`eps` must be greater than 0, got 0.0."),
    (
        lambda: nn.BatchNorm(2, momentum=2),
        "BatchNorm",
        "`momentum` must be a number in [0, 1], got 2",
    ),
    (
        lambda: nn.Residual([DENSE]),
        "Residual",
        "`layers` must end as wide as they begin, got 3 -> 2.",
    ),
    (lambda: nn.Residual([]), "Residual", "`layers` must be a non-empty list of layers"),
    (lambda: activations.LeakyReLU("a"), "LeakyReLU", "`a` must be a finite number, got 'a'."),
    (
        lambda: initializers.Uniform(-1.0),
        "Uniform",
        "`a` must be a number in [0, inf), got -1.0.",
    ),
]

RULES: list[Refusal] = [
    (lambda: nn.SGD(0.0), "SGD", "`learning_rate` must be greater than 0, got 0.0."),
    (lambda: nn.SGD(-0.1), "SGD", "`learning_rate` must be a number in [0, inf), got -0.1."),
    (lambda: nn.SGD("0.1"), "SGD", "`learning_rate` must be a number in [0, inf), got '0.1'."),
    (lambda: nn.SGD(np.nan), "SGD", "`learning_rate` must be a number in [0, inf), got nan."),
    (lambda: nn.SGD(np.inf), "SGD", "`learning_rate` must be a number in [0, inf), got inf."),
    (lambda: nn.SGD(0.1, momentum=1.0), "SGD", "`momentum` must be below 1, got 1.0."),
    (lambda: nn.SGD(0.1, nesterov=True), "SGD", "`nesterov` needs momentum > 0, got momentum=0."),
    (lambda: nn.Adam(beta1=-0.1), "Adam", "`beta1` must be a number in [0, 1], got -0.1."),
    (lambda: nn.Adam(beta2=1), "Adam", "`beta2` must be below 1, got 1"),
    (lambda: nn.RMSProp(0.1, eps=-1e-8), "RMSProp", "`eps` must be a number in [0, "),
    (
        lambda: nn.AdamW(weight_decay=-1),
        "AdamW",
        "`weight_decay` must be a number in [0, inf), got -",
    ),
    (lambda: nn.Lion(clip_norm=0), "Lion", "`clip_norm` must be greater than 0, got 0."),
    (lambda: schedules.Cosine(0.1, 0), "Cosine", "`steps` must be an integer >= 1, got 0."),
    (
        lambda: schedules.StepDecay(0.1, 2, 0),
        "StepDecay",
        "`factor` must be greater than 0, got 0.",
    ),
    (
        lambda: callbacks.EarlyStopping(0),
        "EarlyStopping",
        "`patience` must be an integer >= 1, got 0",
    ),
    (
        lambda: callbacks.EarlyStopping(min_delta=-1),
        "EarlyStopping",
        "`min_delta` must be a number",
    ),
]

NET = nn.MLP([3, 4, 2])
STEPPED = nn.MLP([3, 4, 2], "step")
TRAINERS: list[Refusal] = [
    (lambda: nn.Trainer(NET, loss="hinge"), "Trainer", "`loss` must be one of absolute, cross"),
    (lambda: nn.Trainer(NET, loss="huber"), "Trainer", "`loss` Huber needs output='identity'"),
    (lambda: nn.Trainer(NET, loss="mse"), "Trainer", "`loss` MSE needs output='identity', but"),
    (lambda: nn.Trainer(NET, seed=-1), "Trainer", "`seed` must be an integer >= 0, got -1."),
    (
        lambda: nn.Trainer(NET.to(dtype="float16")),
        "Trainer",
        "has eps=1e-08, which is 0 in float16",
    ),
    (lambda: nn.Trainer(STEPPED), "Trainer", "Train with a smooth one (sigmoid, tanh) or relu"),
    (
        lambda: STEPPED.gradients(np.zeros((5, 3)), [0] * 5),
        "Network.gradients",
        "derivative is 0 almost every",
    ),
    (
        lambda: nn.Trainer(nn.MLP([3, 2], output="step")),
        "Trainer",
        "the output 'step' has derivative 0 almost everywhere",
    ),
    (
        lambda: nn.Trainer(nn.Network([nn.Residual([nn.Dense(3, 3, "step")]), DENSE])),
        "Trainer",
        "derivative is 0 almost everywhere",
    ),
    (
        lambda: nn.MLP([3, 1], output="step").loss(np.zeros((5, 3)), np.zeros(5)),
        "Network.loss",
        "Train with output='sigmoid' instead.",
    ),
]

REFUSALS = [*NETWORKS, *WEIGHTS, *LAYERS, *RULES, *TRAINERS]
