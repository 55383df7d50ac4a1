"""Keras: networks to and from its models and .keras files."""

from __future__ import annotations

import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import _checks, activations
from ..activations import Activation
from ..backends import host
from ..data import container
from ..layers import BatchNorm, Dense, Dropout, LayerNorm, Residual
from ..losses import OUTPUTS
from ..network import Network
from . import keras_reading
from .certificate import Certificate
from .describing import describe_model
from .parts import Part, frozen_in, parts_of, plain_network, refused
from .proof import Consumer, Outputs, proven

_NAMES: dict[type[Activation], str] = {
    activations.Sigmoid: "sigmoid",
    activations.Tanh: "tanh",
    activations.ReLU: "relu",
    activations.SELU: "selu",
    activations.Softplus: "softplus",
    activations.SiLU: "silu",
    activations.Mish: "mish",
    activations.GELU: "gelu",
    activations.Exp: "exponential",
}


def to_keras(model: Any, path: Any = None, *, check: bool = True) -> Any:
    """Return a network as a model of Keras's, with copies of its parameters, bit for bit.

    Parameters
    ----------
    model
        A Network or Trainer, or an estimator that is a network alone.
    path
        A .keras file to write as well.
    check
        Whether Keras shall compute the file before it is there; see `nnpoly.exchange.check`.

    Returns
    -------
    keras.Sequential or keras.Model
        The latter where there are residual blocks. The last layer is the output, unless that is the
        identity: ``keras.Model(model.inputs, model.layers[-2].output)`` gives scores.

    Raises
    ------
    ValueError
        For what Keras has not: columns' embeddings, `Scale`, `Blend`, members, the tanh form of
        GELU, `Step`; and for float16 and float64, since Keras rounds a model's inputs to float32.

    Notes
    -----
    Keras computes a LayerNorm as x s - mean s, with s = 1 / sqrt(var + eps), and a BatchNorm
    likewise. Where the mean is much larger than the deviation it loses as many digits.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange import to_keras
    >>> model = to_keras(nn.MLP([4, 8, 3], activation="gelu"))  # doctest: +SKIP
    """
    where = "to_keras"
    net = plain_network(where, model)
    found = _Builder(where, net).model()
    if path is not None:
        if container.as_path(where, path).suffix != ".keras":
            raise ValueError(
                f"{where}: `path` must end in .keras, by which Keras knows such files, got {path}."
            )
        certificate = Certificate.of(describe_model(net)).to_json()
        with proven(where, path, CONSUMER, check) as temporary:
            temporary.write_bytes(_content(found, certificate))
    return found


def from_keras(
    source: Any,
    *,
    output: str | None = None,
    seed: int | None = 0,
    backend: Any = None,
    device: Any = None,
) -> Network:
    """Return a network of a model of Keras's, or of a .keras file, with copies of its weights.

    Parameters
    ----------
    source
        A built Sequential or Functional model, or the path of a .keras file, of which nothing is
        run: Keras need not be there. Of Functional models residual blocks alone may branch.
    output
        Of a model that ends in scores: "exp", "identity", "sigmoid", "softmax" or "step"; None for
        the identity. A last softmax, sigmoid or exponential is the output.
    seed, backend, device
        As for `Network`.

    Notes
    -----
    Regularizers, constraints, the optimizer and the loss stay behind. Layers that are not trained,
    and a bias that is not there, have rates of 0: training keeps them as they are. A BatchNorm that
    is not trained uses its running statistics in training in Keras, and the batch's here.

    Examples
    --------
    >>> from nnpoly.exchange import from_keras
    >>> net = from_keras("model.keras", output="softmax")  # doctest: +SKIP
    """
    where = "from_keras"
    if output is not None:
        _checks.choice(where, "output", output, OUTPUTS)
    live = hasattr(source, "get_config")
    chain = (keras_reading.of_model if live else keras_reading.of_file)(where, source)
    return chain.network(output, seed, backend, device)


def _content(model: Any, certificate: str) -> bytes:
    """A model's .keras file, with a certificate in its metadata."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.keras")
        model.save(file)
        with zipfile.ZipFile(file) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    about = json.loads(members["metadata.json"])
    members["metadata.json"] = json.dumps({**about, "nnpoly": certificate}).encode()
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return made.getvalue()


# The proof of files


def _version() -> str | None:
    try:
        keras = _keras()
    except ImportError:
        return None
    return f"{keras.__version__} on {keras.backend.backend()}"


def _run(path: Path, certificate: Certificate) -> Outputs:
    keras_reading.of_file("check", path)  # which refuses what might run code
    with tempfile.TemporaryDirectory() as folder:
        file = Path(shutil.copyfile(path, Path(folder, "model.keras")))
        model = _keras().saving.load_model(file, compile=False)
    found = model(certificate.x.astype(certificate.dtype), training=False)
    return Outputs(_keras().ops.convert_to_numpy(found))


CONSUMER = Consumer(
    "Keras",
    "Install it: pip install nnpoly[keras], and let KERAS_BACKEND be torch or jax.",
    _version,
    keras_reading.certificate,
    _run,
)


def _keras() -> Any:
    try:
        return import_module("keras")
    except ImportError as error:
        raise ImportError(
            "Keras cannot be imported: pip install nnpoly[keras], and let KERAS_BACKEND be one that"
            f" is installed, such as jax or torch ({error})."
        ) from error


class _Builder:
    """Makes Keras's layers of a network's."""

    def __init__(self, where: str, net: Network) -> None:
        self.where, self.net, self.keras = where, net, _keras()
        self.given: list[tuple[Any, list[host.HostArray]]] = []  # layers and their arrays

    def model(self) -> Any:
        """The model."""
        keras, net, parts = self.keras, self.net, parts_of(self.net)
        if net.members > 1:
            raise refused(self.where, parts[-1], "Keras")
        if net.dtype != "float32":
            raise ValueError(
                f"{self.where}: the network must be of float32, since Keras's models round their "
                f"inputs to it, got {net.dtype}. Pass net.to(dtype='float32')."
            )
        inputs = keras.Input((net.inputs,), dtype=net.dtype, name="X")
        ending = self._output()
        if any(type(part.layer) is Residual for part in parts):
            outputs = self._through(parts, inputs)
            model = keras.Model(inputs, ending(outputs) if ending else outputs)
        else:
            layers = [layer for part in parts for layer in self._layers(part)]
            model = keras.Sequential([inputs, *layers, *([ending] if ending else [])])
        for layer, arrays in self.given:
            layer.set_weights(arrays)
        return model

    def _output(self) -> Any:
        output = self.net.output
        if output == "identity":
            return None
        if output == "step":
            raise ValueError(f"{self.where}: Keras cannot hold the output 'step'.")
        return self._activation("exponential" if output == "exp" else output)

    def _activation(self, name: str) -> Any:
        return self.keras.layers.Activation(name, dtype=self.net.dtype)

    def _through(self, parts: Sequence[Part], x: Any) -> Any:
        """What layers make of a tensor of Keras's."""
        for part in parts:
            if type(part.layer) is Residual:
                add = self.keras.layers.Add(dtype=self.net.dtype)
                x = add([x, self._through(part.inner, x)])
                for layer in self._after(part):
                    x = layer(x)
            else:
                for layer in self._layers(part):
                    x = layer(x)
        return x

    def _layers(self, part: Part) -> list[Any]:
        """Keras's layers for one of nnpoly's, and for its activation."""
        layers, dtype = self.keras.layers, self.net.dtype
        layer: Any = part.layer
        kind, frozen = type(layer), frozen_in(layer)
        trained = {"trainable": frozen != set(layer.shapes()), "dtype": dtype}
        arrays = part.arrays
        if kind is Dense and layer.factor == 1.0:
            bias = "b" not in frozen or bool(arrays["b"].any())
            made = layers.Dense(layer.outputs, use_bias=bias, **trained)
            self.given.append((made, [arrays["W"].T, arrays["b"]][: 1 + bias]))
        elif kind is LayerNorm:
            made = layers.LayerNormalization(epsilon=layer.eps, **trained)
            self.given.append((made, [arrays["gain"], arrays["shift"]]))
        elif kind is BatchNorm:
            momentum = keras_reading.complement(layer.momentum)
            made = layers.BatchNormalization(momentum=momentum, epsilon=layer.eps, dtype=dtype)
            self.given.append((made, [arrays[k] for k in ("gain", "shift", "mean", "variance")]))
        elif kind is Dropout and not layer.schedules():
            return [layers.Dropout(layer.rate, dtype=dtype)]
        else:
            raise refused(self.where, part, "Keras")
        return [made, *self._after(part)]

    def _after(self, part: Part) -> list[Any]:
        """The layer of a layer's activation, if it has one."""
        sigma: Any = part.layer.activation
        layers, dtype = self.keras.layers, self.net.dtype
        if sigma == activations.identity:
            return []
        if type(sigma) is activations.LeakyReLU:
            return [layers.LeakyReLU(sigma.a, dtype=dtype)]
        if type(sigma) is activations.ELU:
            return [layers.ELU(sigma.a, dtype=dtype)]
        if type(sigma) is activations.Linear:
            return [layers.Rescaling(sigma.a, dtype=dtype)]
        if type(sigma) not in _NAMES:
            raise refused(self.where, part, "Keras")
        return [self._activation(_NAMES[type(sigma)])]
