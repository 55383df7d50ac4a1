"""Networks of Keras's models and .keras files, whose configuration is read, and never run.

A .keras file is a ZIP archive of JSON, which names classes and their arguments, and HDF5. Keras
makes those classes, and has been made to run code by files that it calls safe. Here the JSON is
compared with a list of layers, nothing in it is imported or called, and the HDF5 file may hold
plain arrays alone: no links to other files, no external or virtual data, no filters.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from importlib import import_module
from typing import Any

from .. import activations
from ..activations import Activation
from ..backends import host
from ..backends.base import FLOATS
from ..data import container
from ..layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from . import archives
from .parts import Chain, filled, rates_of

Config = Mapping[str, Any]

_LARGEST_JSON = 1 << 25  # bytes
_KIND = ".keras file of Keras 3 (let Keras load an older one or an .h5, and save it as .keras)"
_MOST_OBJECTS, _DEEPEST = 1 << 16, 32  # in the HDF5 file

_BY_NAME: dict[str, Activation] = {
    "linear": activations.identity,
    "sigmoid": activations.sigmoid,
    "tanh": activations.tanh,
    "relu": activations.relu,
    "leaky_relu": activations.LeakyReLU(0.2),  # Keras's own slope
    "elu": activations.elu,
    "selu": activations.selu,
    "softplus": activations.softplus,
    "silu": activations.silu,
    "swish": activations.silu,
    "mish": activations.mish,
    "gelu": activations.gelu,
    "exponential": activations.Exp(),
}
_ANY: Any = object()  # of an argument that changes no prediction

# What layers are given: what else than this changes a prediction is refused.
_HARMLESS = ("_initializer", "_regularizer", "_constraint")
_COMMON = {"name": _ANY, "trainable": _ANY, "dtype": _ANY, "seed": _ANY}
_KNOWN: dict[str, dict[str, Any]] = {
    "Dense": {"units": _ANY, "activation": _ANY, "use_bias": _ANY},
    "Activation": {"activation": _ANY},
    "Dropout": {"rate": _ANY},
    "BatchNormalization": {
        "axis": (-1, 1),
        "momentum": _ANY,
        "epsilon": _ANY,
        "center": _ANY,
        "scale": _ANY,
        "renorm_momentum": _ANY,
        "renorm_clipping": _ANY,
        "synchronized": _ANY,
    },
    "LayerNormalization": {
        "axis": (-1, 1, [-1], [1]),
        "epsilon": _ANY,
        "center": _ANY,
        "scale": _ANY,
    },
    "ReLU": {"negative_slope": _ANY, "threshold": (0, None)},
    "LeakyReLU": {"negative_slope": _ANY},
    "ELU": {"alpha": _ANY},
    "Softmax": {"axis": (-1, 1)},
    "Rescaling": {"scale": _ANY, "offset": (0,)},
    "Flatten": {"data_format": _ANY},
    "Add": {},
    "Identity": {},
    "InputLayer": {"batch_shape": _ANY},
    "Sequential": {"layers": _ANY, "build_input_shape": _ANY},
    "Functional": {"layers": _ANY, "input_layers": _ANY, "output_layers": _ANY},
}
# How files name layers that have arrays, and those that have layers.
_IN_FILES = {
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
    "LayerNormalization": "layer_normalization",
    "Sequential": "sequential",
    "Functional": "functional",
}


class Stored:
    """The arrays of a .keras file: those of a layer, and of the layers in it."""

    def __init__(self, arrays: dict[str, host.HostArray], at: str = "") -> None:
        self.all, self.at = arrays, at

    def arrays(self) -> list[host.HostArray]:
        """The layer's own arrays, in Keras's order; each may be taken once."""
        found: list[host.HostArray] = []
        while (key := f"{self.at}vars/{len(found)}") in self.all:
            found.append(self.all.pop(key))
        return found

    def inside(self, entries: Sequence[Config]) -> list[Any]:
        """Those of each of the layers of a model: the second Dense one's are in dense_1."""
        counts: Counter[str] = Counter()
        found = []
        for entry in entries:
            name = _IN_FILES.get(entry["class_name"], "")
            number = f"_{counts[name]}" if counts[name] else ""
            counts[name] += 1
            found.append(Stored(self.all, f"{self.at}layers/{name}{number}/"))
        return found


class Live:
    """The arrays of a model: those of a layer, and of the layers in it."""

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def arrays(self) -> list[host.HostArray]:
        """The layer's own arrays, in Keras's order."""
        # By this function, since Keras's get_weights has NumPy warn about torch's tensors.
        on_host = import_module("keras").ops.convert_to_numpy
        return [host.copy(on_host(variable)) for variable in self.layer.weights]

    def inside(self, entries: Sequence[Config]) -> list[Any]:
        """Those of each of the layers of a model."""
        layers = {layer.name: layer for layer in self.layer.layers}
        return [Live(layers.get(entry["config"]["name"])) for entry in entries]


def of_model(where: str, model: Any) -> Chain:
    """The layers of a model of Keras's."""
    config = import_module("keras").saving.serialize_keras_object(model)
    chain = Chain(where)
    try:
        _model(chain, "model", config, Live(model))
    except ValueError as error:
        reason = str(error)
        raise ValueError(
            reason if reason.startswith(where) else f"{where}: {reason.rstrip('.')}."
        ) from error
    return chain


def of_file(where: str, path: Any) -> Chain:
    """The layers of a .keras file."""
    file = container.as_path(where, path)
    if not file.is_file():
        raise FileNotFoundError(f"{where}: `source` {path} is no file.")
    with container.named(path):
        with archives.opened(file, _KIND) as archive:
            text = archives.member(archive, "config.json", _LARGEST_JSON)
            content = archives.member(archive, "model.weights.h5")
        arrays = _arrays(content)
        chain = Chain(where)
        _model(chain, "model", json.loads(text), Stored(arrays))
        left = [key for key in arrays if key.startswith("layers/") and "seed_gen" not in key]
        if left:
            raise ValueError(f"it has {left[0]}, which is of none of its layers")
    return chain


def certificate(path: Any) -> str | None:
    """The text of the certificate in a .keras file's metadata, or None."""
    with container.named(path):
        with archives.opened(path, _KIND) as archive:
            about = json.loads(archives.member(archive, "metadata.json", _LARGEST_JSON))
        found = about.get("nnpoly")
        if not isinstance(found, str | None):
            raise ValueError("its metadata has no text as the certificate")
        return found


# The arrays


def _arrays(content: bytes) -> dict[str, host.HostArray]:
    """The arrays of floating point of an HDF5 file, by their paths."""
    h5py = _h5py()
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            found = dict(_plain(h5py, file, "", len(content)))
    except (OSError, RuntimeError, KeyError) as error:
        raise ValueError(f"its model.weights.h5 is damaged ({error})") from error
    return found


def _h5py() -> Any:
    try:
        return import_module("h5py")
    except ImportError as error:
        raise ImportError("Reading .keras files needs h5py: pip install nnpoly[keras]") from error


def _plain(
    h5py: Any, group: Any, at: str, size: int, depth: int = 0, count: list[int] | None = None
) -> Iterator[tuple[str, host.HostArray]]:
    """Yield the arrays below a group, if they lie in this file as they are.

    size: of the file, in bytes.
    """
    count = [0] if count is None else count
    if depth > _DEEPEST:
        raise ValueError(f"its groups are more than {_DEEPEST} deep")
    for name in group:
        count[0] += 1
        if count[0] > _MOST_OBJECTS:
            raise ValueError(f"it has more than {_MOST_OBJECTS} groups and arrays")
        key = f"{at}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise ValueError(f"its {key} is a link, which may lead to other files")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _plain(h5py, item, f"{key}/", size, depth + 1, count)
        elif not isinstance(item, h5py.Dataset):
            raise ValueError(f"its {key} is no array")
        elif key.startswith("layers/") or "/" not in key:
            yield key, _array(item, key, size)


def _array(item: Any, key: str, size: int) -> host.HostArray:
    if item.is_virtual or item.external or item.id.get_create_plist().get_nfilters():
        raise ValueError(f"its {key} must lie in the file as it is, neither elsewhere nor packed")
    if item.shape is None or item.nbytes > size or item.id.get_storage_size() < item.nbytes:
        raise ValueError(f"its {key} has shape {item.shape}, of which the file has less")
    if item.dtype.kind not in "fui":
        raise ValueError(f"its {key} has dtype {item.dtype}. Convert it to float32 first")
    return host.asarray(item[()])


# The configuration


def _model(chain: Chain, name: str, entry: Config, source: Any) -> None:
    """Append the layers of a model."""
    _require_known(name, entry)
    config, kind = entry["config"], entry["class_name"]
    if kind not in ("Sequential", "Functional"):
        raise ValueError(f"{name} must be a Sequential or Functional model, got {kind!r}")
    entries = config["layers"]
    sources = source.inside(entries)
    if kind == "Sequential":
        for given, of_layer in zip(entries, sources, strict=True):
            _append(chain, f"{name}.{given['config']['name']}", given, of_layer)
    else:
        graph = _Graph(name, entries, sources)
        start, end = (_single(name, config[key]) for key in ("input_layers", "output_layers"))
        graph.append(chain, start, end)


class _Graph:
    """The layers of a Functional model: a chain that branches for residual blocks alone."""

    def __init__(self, name: str, entries: Sequence[Config], sources: Sequence[Any]) -> None:
        self.name = name
        self.order = {entry["name"]: i for i, entry in enumerate(entries)}
        self.entries, self.sources = entries, sources
        self.inputs = [_inputs(f"{name}.{entry['name']}", entry) for entry in entries]

    def append(self, chain: Chain, start: str, end: str) -> None:
        """Append the layers after `start`, up to `end`."""
        path, at = [], self._place(end)
        first = self._place(start)
        while at != first:
            inputs = sorted(map(self._place, self.inputs[at]))
            if not inputs or inputs[-1] >= at or inputs[0] < first:
                raise ValueError(
                    f"{self.name} must be a chain of layers, in which residual blocks alone branch,"
                    f" got {self.entries[at]['name']} with inputs {', '.join(self.inputs[at])}"
                )
            path.append((at, inputs))
            at = inputs[0]
        for at, inputs in reversed(path):
            entry = self.entries[at]
            name = f"{self.name}.{entry['name']}"
            if entry["class_name"] == "Add" and len(inputs) == 2:
                _require_known(name, entry)
                inner = Chain(chain.where)
                self.append(inner, *(self.entries[i]["name"] for i in inputs))
                chain.block(name, inner)
            elif len(inputs) == 1:
                _append(chain, name, entry, self.sources[at])
            else:
                raise ValueError(f"{name} must have one input, got {len(inputs)}")

    def _place(self, name: str) -> int:
        if name not in self.order:
            raise ValueError(f"{self.name} has no layer {name!r}")
        return self.order[name]


def _inputs(name: str, entry: Config) -> list[str]:
    """The names of the layers whose results a layer of a Functional model is given."""
    nodes = entry["inbound_nodes"]
    if len(nodes) > 1:
        raise ValueError(f"{name} is used {len(nodes)} times, and its weights would part")
    found = []
    for node in nodes:
        for key, value in node["kwargs"].items():
            if value not in (None, False):
                raise ValueError(f"{name} is called with {key}={value!r}")
        args = node["args"]
        tensors = args[0] if args and isinstance(args[0], list) else args
        found += [_single(name, tensor["config"]["keras_history"]) for tensor in tensors]
    return found


def _single(name: str, history: Any) -> str:
    """The name of a layer of whose first result is meant."""
    if isinstance(history, list) and len(history) == 1 and isinstance(history[0], list):
        history = history[0]
    layer, *places = history
    if not isinstance(layer, str) or places != [0, 0]:
        raise ValueError(f"{name} must have one input and one output, got {history!r}")
    return layer


def _require_known(name: str, entry: Config) -> None:
    """Refuse layers that are not Keras's own, or that nnpoly has not."""
    kind, module, config = entry["class_name"], entry["module"], entry["config"]
    own = isinstance(module, str) and f"{module}.".startswith("keras.")
    if not own or entry.get("registered_name") not in (None, kind) or kind not in _KNOWN:
        raise ValueError(
            f"{name}, a {kind!r} of {module!r}, is no layer that from_keras reads, which are "
            f"{', '.join(sorted(_KNOWN))}. Nothing of it was run"
        )
    known = {**_COMMON, **_KNOWN[kind]}
    for key, value in config.items():
        allowed = _ANY if key.endswith(_HARMLESS) else known.get(key, (None, False))
        if allowed is not _ANY and value not in allowed:
            raise ValueError(f"{name} has {key}={value!r}, which nnpoly's layers have not")
    dtype = config.get("dtype")
    if isinstance(dtype, Mapping):
        dtype = dtype["config"]["name"]
    if dtype is not None and dtype not in FLOATS:
        raise ValueError(f"{name} must compute in one of {', '.join(FLOATS)}, got {dtype!r}")


def _append(chain: Chain, name: str, entry: Config, source: Any) -> None:
    """Append a layer."""
    _require_known(name, entry)
    kind, config = entry["class_name"], entry["config"]
    if kind in ("Sequential", "Functional"):
        _model(chain, name, entry, source)
    elif kind == "Dense":
        _dense(chain, name, config, source)
    elif kind in ("BatchNormalization", "LayerNormalization"):
        _norm(chain, name, kind, config, source)
    elif kind == "Dropout":
        chain.add(name, Dropout(config["rate"]), {})
    elif kind in ("InputLayer", "Flatten"):
        shape = config.get("batch_shape") or [None, None]
        if len(shape) != 2:
            raise ValueError(f"{name} must be of rows (n, m), got {shape}")
    elif kind == "Activation":
        _activate(chain, name, config["activation"])
    elif kind != "Identity":
        _activate(chain, name, entry)


def _activate(chain: Chain, name: str, given: Any) -> None:
    """Append an activation, a name or the description of a layer."""
    sigma = _BY_NAME.get(given) if isinstance(given, str) else None
    if given == "softmax":
        chain.end(name, "softmax")
    elif sigma is not None:
        chain.activate(name, sigma)
    elif isinstance(given, Mapping) and given.get("class_name") in _LAYERS:
        _require_known(name, given)
        config = given["config"]
        if given["class_name"] == "Softmax":
            chain.end(name, "softmax")
        else:
            chain.activate(name, _LAYERS[given["class_name"]](config))
    else:
        kind = given.get("class_name") if isinstance(given, Mapping) else given
        raise ValueError(
            f"{name} has the activation {kind!r}, which is none of {', '.join(sorted(_BY_NAME))} "
            "and softmax. Nothing of it was run"
        )


def _relu(config: Config) -> Activation:
    slope = config["negative_slope"]
    return activations.LeakyReLU(slope) if slope else activations.relu


_LAYERS: dict[str, Any] = {
    "ReLU": _relu,
    "LeakyReLU": lambda config: activations.LeakyReLU(config["negative_slope"]),
    "ELU": lambda config: activations.ELU(config["alpha"]),
    "Rescaling": lambda config: activations.Linear(config["scale"]),
    "Softmax": None,
}


def _dense(chain: Chain, name: str, config: Config, source: Any) -> None:
    arrays, m = source.arrays(), config["units"]
    bias = config["use_bias"] is not False
    if len(arrays) != 1 + bias or arrays[0].ndim != 2 or not _all_wide(arrays, m):
        raise ValueError(
            f"{name} must have arrays of shape (m_in, {m})"
            + (f" and ({m},)" if bias else "")
            + f", got {_shapes(arrays)}. Build the model first"
        )
    kernel = arrays[0]
    W, b = kernel.T, arrays[1] if bias else filled(m, 0.0, kernel)
    kept = config["trainable"] is False
    rates = rates_of({"W": kept, "b": kept or not bias})
    chain.add(name, Dense(kernel.shape[0], m, rates=rates), {"W": W, "b": b})
    _activate(chain, f"{name}.activation", config["activation"])


def _norm(chain: Chain, name: str, kind: str, config: Config, source: Any) -> None:
    arrays = source.arrays()
    batch = kind == "BatchNormalization"
    given = [config[key] is not False for key in ("scale", "center")]
    if len(arrays) != sum(given) + 2 * batch or not arrays:
        raise ValueError(
            f"{name} must have {sum(given) + 2 * batch} arrays, got {_shapes(arrays)}. Build the "
            "model first, and leave one of scale and center"
        )
    m, left = arrays[0].shape[-1], list(arrays)
    if any(array.shape != (m,) for array in arrays):
        raise ValueError(f"{name} must have arrays of one shape (m,), got {_shapes(arrays)}")
    own = {}
    for key, there, stands in zip(("gain", "shift"), given, (1.0, 0.0), strict=True):
        own[key] = left.pop(0) if there else filled(m, stands, arrays[0])
    kept = config["trainable"] is False
    rates = rates_of({k: kept or not t for k, t in zip(own, given, strict=True)})
    eps = config["epsilon"]
    layer: Layer
    if batch:
        own |= dict(zip(("mean", "variance"), left, strict=True))
        layer = BatchNorm(m, eps, momentum=complement(config["momentum"]), rates=rates)
    else:
        layer = LayerNorm(m, eps, rates=rates)
    chain.add(name, layer, own)


def complement(share: float) -> float:
    """1 - share, in decimals: of 0.9 it is 0.1, as of 0.1 it is 0.9."""
    return float(1 - Decimal(repr(float(share))))


def _all_wide(arrays: Sequence[host.HostArray], m: Any) -> bool:
    return all(array.shape[-1:] == (m,) for array in arrays) and arrays[-1].ndim == 3 - len(arrays)


def _shapes(arrays: Sequence[host.HostArray]) -> str:
    return ", ".join(str(array.shape) for array in arrays) or "none"
