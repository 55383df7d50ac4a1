"""Write the .npz and .onnx files here: networks of torch and Keras as their exporters write them.

Nothing here imports nnpoly. Run ``python tests/exchange/golden/make_onnx.py`` with torch, Keras,
onnx and onnxscript to rewrite them. Keras is exported on its torch backend.

onnx.npz has for each file ``<name>.onnx`` the keys ``<name>/x``, the rows, ``<name>/y``, what torch
or Keras itself gives for them, and ``<name>/w``: W (a row a neuron), then b, of each dense layer;
gain, then shift, of each norm. Names of nodes and shapes in between are taken out of the files.
"""

import os

os.environ["KERAS_BACKEND"] = "torch"

import warnings
from pathlib import Path

import keras
import numpy as np
import onnx
import torch
from torch import nn

HERE = Path(__file__).parent
Content = dict[str, np.ndarray]
ROWS = 12


class Residual(nn.Module):
    """x + F(x)."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x + F(x)."""
        return x + self.inside(x)


def every_activation() -> nn.Sequential:
    """A network with each of torch's activations that nnpoly has."""
    kinds = [
        nn.ReLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(0.7),
        nn.SELU(),
        nn.Softplus(),
        nn.SiLU(),
        nn.Mish(),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.Tanh(),
        nn.Sigmoid(),
        nn.Hardtanh(0.0, float("inf")),
    ]
    chain: list[nn.Module] = [nn.Linear(3, 3)]
    for kind in kinds:
        chain += [kind, nn.Linear(3, 3)]
    return nn.Sequential(*chain, nn.Softmax(-1))


def every_layer() -> nn.Sequential:
    """A network with each of torch's layers that nnpoly has."""
    block = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 5), nn.GELU(), nn.Linear(5, 4))
    chain = [nn.Flatten(), nn.Linear(3, 4), nn.BatchNorm1d(4, 1e-3), nn.ReLU(), nn.Dropout(0.3)]
    return nn.Sequential(
        *chain, Residual(block), nn.Tanh(), nn.LayerNorm(4), nn.Linear(4, 2), nn.Sigmoid()
    )


def with_short_cuts() -> nn.Sequential:
    """Nested short cuts and norms, without what the newer exporter folds into weights."""
    inner = Residual(nn.Sequential(nn.Linear(4, 4), nn.SiLU()))
    block = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4), inner)
    return nn.Sequential(nn.Linear(3, 4), nn.Mish(), Residual(block), nn.ReLU(), nn.Linear(4, 1))


def drawn(net: nn.Module, seed: int, dtype: torch.dtype) -> nn.Module:
    """The network as it predicts, with weights that let much of its input through."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.ndim == 2:
                nn.init.orthogonal_(value, 1.8, generator=generator)
            elif name.endswith(("running_var", "weight")):
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.is_floating_point():
                value.uniform_(-0.5, 0.5, generator=generator)
    return net.to(dtype).eval()


def stripped(model: onnx.ModelProto, path: Path) -> None:
    """Write a model without what only its exporter's authors read."""
    del model.graph.value_info[:], model.metadata_props[:], model.graph.metadata_props[:]
    for node in model.graph.node:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    for tensor in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del tensor.metadata_props[:]
    onnx.checker.check_model(model)
    onnx.save(model, path)


def of_torch(name: str, net: nn.Module, seed: int, dtype: str, dynamo: bool, opset: int) -> Content:
    """Export a network of torch; return its rows, outputs and weights."""
    net = drawn(net, seed, getattr(torch, dtype))
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=(ROWS, 3)).astype(dtype))
    named = {"input_names": ["x"], "output_names": ["y"], "opset_version": opset}
    if dynamo:
        shapes = ({0: torch.export.Dim.DYNAMIC},)
        model = torch.onnx.export(
            net, (x,), dynamo=True, dynamic_shapes=shapes, **named
        ).model_proto
    else:
        path = HERE / f"{name}.onnx"
        torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes={"x": {0: "n"}}, **named)
        model = onnx.load(path)
    stripped(model, HERE / f"{name}.onnx")
    weights = [p.detach().numpy().ravel() for p in net.parameters()]
    return {"x": x.numpy(), "y": net(x).detach().numpy(), "w": np.concatenate(weights)}


def of_keras(name: str, net: keras.Model, seed: int) -> Content:
    """Export a network of Keras; return its rows, outputs and weights."""
    rng, parts = np.random.default_rng(seed), []
    for layer in net.layers:
        if not layer.weights:
            continue
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in layer.weights])
        elif not isinstance(layer, keras.layers.Normalization):
            kernel, bias = (rng.uniform(-1.2, 1.2, w.shape).astype("f") for w in layer.weights)
            layer.set_weights([kernel, bias])
            parts += [kernel.T.ravel(), bias]
    x = rng.normal(size=(ROWS, 3)).astype("float32")
    y = keras.ops.convert_to_numpy(net(x))
    net.export(HERE / f"{name}.onnx", format="onnx", verbose=False)
    stripped(onnx.load(HERE / f"{name}.onnx"), HERE / f"{name}.onnx")
    return {"x": x, "y": y, "w": np.concatenate(parts)}


def keras_networks() -> dict[str, keras.Model]:
    """Networks with each of Keras's activations and layers that it can export."""
    dense, sequential = keras.layers.Dense, keras.Sequential
    kinds = ["relu", "leaky_relu", "elu", "selu", "softplus", "silu", "mish", "gelu", "tanh"]
    kinds += ["sigmoid", "linear"]
    chain = [dense(3, activation=kind) for kind in kinds]
    start = keras.Input((3,))
    wide = dense(4, activation="relu")(start)
    inside = dense(4)(dense(5, activation="gelu")(wide))
    summed = keras.layers.Activation("relu")(keras.layers.Add()([wide, inside]))
    norm = keras.layers.BatchNormalization()
    scaler = keras.layers.Normalization(mean=[1.0, 2.0, 3.0], variance=[1.0, 4.0, 2.0])
    last = [norm, keras.layers.Dropout(0.2), dense(1, activation="sigmoid")]
    return {
        "keras_activations": sequential([start, *chain, dense(3, activation="softmax")]),
        "keras_residual": keras.Model(start, dense(2)(summed)),
        "keras_norm": sequential([keras.Input((3,)), dense(4, activation="relu"), *last]),
        "keras_scaler": sequential([keras.Input((3,)), scaler, dense(2)]),
    }


def main() -> None:
    """Write all files."""
    warnings.simplefilter("ignore")
    found = {
        "torch_activations": of_torch(
            "torch_activations", every_activation(), 4, "float32", True, 18
        ),
        "torch_activations_13": of_torch(
            "torch_activations_13", every_activation(), 20, "float64", False, 13
        ),
        "torch_activations_20": of_torch(
            "torch_activations_20", every_activation(), 30, "float32", False, 20
        ),
        "torch_layers_13": of_torch("torch_layers_13", every_layer(), 4, "float32", False, 13),
        "torch_layers_20": of_torch("torch_layers_20", every_layer(), 5, "float64", False, 20),
        "torch_short_cuts": of_torch("torch_short_cuts", with_short_cuts(), 6, "float32", True, 18),
    }
    for seed, (name, net) in enumerate(keras_networks().items(), 7):
        found[name] = of_keras(name, net, seed)
    flat = {f"{name}/{key}": a for name, content in found.items() for key, a in content.items()}
    np.savez_compressed(HERE / "onnx.npz", **flat)


if __name__ == "__main__":
    main()
