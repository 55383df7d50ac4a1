"""scikit-learn: networks to and from its perceptrons, pipelines of one, and .skops files."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import activations
from ..activations import Activation
from ..backends import host
from ..data import container
from ..layers import Dense, Dropout
from ..network import MLP, Network
from . import archives
from .certificate import Certificate
from .describing import describe_model
from .parts import parts_of, plain_network
from .proof import Consumer, Outputs, proven

_NAMES: dict[type[Activation], str] = {
    activations.Identity: "identity",
    activations.Sigmoid: "logistic",
    activations.Tanh: "tanh",
    activations.ReLU: "relu",
}
_ACTIVATIONS = {name: kind() for kind, name in _NAMES.items()}
_OUTPUTS = {"logistic": "sigmoid", "softmax": "softmax", "identity": "identity", "exp": "exp"}
_PERCEPTRONS = ("MLPClassifier", "MLPRegressor")

# What a .skops file of a perceptron is made of: class, and what makes it.
_CERTIFICATE = "nnpoly.json"  # in the archive
_LARGEST_SCHEMA = 1 << 24  # bytes
_TRUSTED = {
    ("builtins.dict", "DictNode"),
    ("builtins.list", "ListNode"),
    ("builtins.str", "JsonNode"),
    ("builtins.str", "TypeNode"),
    ("builtins.tuple", "TupleNode"),
    ("numpy.ndarray", "NdArrayNode"),
    ("numpy.random.mtrand.RandomState", "RandomStateNode"),
    ("sklearn.neural_network._multilayer_perceptron.MLPClassifier", "ObjectNode"),
    ("sklearn.neural_network._multilayer_perceptron.MLPRegressor", "ObjectNode"),
    ("sklearn.neural_network._stochastic_optimizers.AdamOptimizer", "ObjectNode"),
    ("sklearn.neural_network._stochastic_optimizers.SGDOptimizer", "ObjectNode"),
    ("sklearn.pipeline.Pipeline", "ObjectNode"),
    ("sklearn.preprocessing._data.StandardScaler", "ObjectNode"),
    ("sklearn.preprocessing._label.LabelBinarizer", "ObjectNode"),
    *((f"numpy.{name}", "NdArrayNode") for name in ("bool", "float32", "float64", "int64")),
}
_KIND = (
    ".skops file (load a pickle, which can run code, where you trust it, and pass what it holds)"
)


def to_sklearn(model: Any, path: Any = None, *, classes: Any = None, check: bool = True) -> Any:
    """Return a network as a fitted perceptron of scikit-learn's, with copies of its weights.

    Parameters
    ----------
    model
        A Network of Dense layers, whose hidden ones share one of the activations identity, sigmoid,
        tanh and relu; a Trainer; nnpoly's `MLPClassifier` or `MLPRegressor`; or a Pipeline that
        ends in one, whose other steps stay what they are. A Dropout, which predicts nothing, is
        left out.
    path
        A .skops file to write as well.
    classes
        The labels in order. None: those of an estimator, else 0, 1, ....
    check
        Whether scikit-learn shall compute the file before it is there; see `nnpoly.exchange.check`.
        One of a Pipeline has no certificate.

    Returns
    -------
    sklearn.neural_network.MLPClassifier or MLPRegressor
        The former of a softmax of three outputs or more, or of sigmoids: one is of the second of
        two classes, several are labels of their own. Its parameters are the defaults but for the
        sizes and the activation, and `partial_fit` trains on.

    Examples
    --------
    >>> import nnpoly as nn
    >>> from nnpoly.exchange import to_sklearn
    >>> model = to_sklearn(nn.MLP([4, 8, 3]), classes=["ant", "bee", "cow"])
    >>> model.predict([[0.1, 0.2, 0.3, 0.4]]).shape, model.coefs_[0].shape
    ((1,), (4, 8))
    """
    where = "to_sklearn"
    if _is_pipeline(model):
        found = _with_last(model, to_sklearn(model.steps[-1][1], classes=classes))
    else:
        if classes is None:
            classes = getattr(model, "classes_", None)
        found = _perceptron(where, plain_network(where, model), classes)
    if path is not None:
        _write(where, path, found, check)
    return found


def from_sklearn(
    source: Any, *, seed: int | None = 0, backend: Any = None, device: Any = None
) -> Any:
    """Return nnpoly's estimator of a fitted perceptron of scikit-learn's, with copies of weights.

    Parameters
    ----------
    source
        An MLPClassifier or MLPRegressor, a Pipeline that ends in one, whose other steps stay what
        they are, or the path of a .skops file of one. Pickles are refused, as they can run code.
    seed, backend, device
        As for `Network`.

    Returns
    -------
    nnpoly.estimators.MLPClassifier or MLPRegressor
        With the same parameters and classes. ``.network_`` is the network; `partial_fit`, and
        `fit` with ``warm_start=True``, train on. The optimiser begins anew.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> from nnpoly.exchange import from_sklearn
    >>> X, y = load_iris(return_X_y=True)
    >>> theirs = MLPClassifier((16,), max_iter=400, random_state=0, tol=1e-2).fit(X, y)
    >>> ours = from_sklearn(theirs)
    >>> ours.network_, bool((ours.predict(X) == theirs.predict(X)).all())
    (MLP 4-16-3, softmax output, float64 on numpy (cpu), True)
    """
    where = "from_sklearn"
    if not hasattr(source, "get_params"):
        source = _of_file(where, source)
    if _is_pipeline(source):
        last = from_sklearn(source.steps[-1][1], seed=seed, backend=backend, device=device)
        return _with_last(source, last)
    return _estimator(where, source, seed, backend, device)


def _write(where: str, path: Any, estimator: Any, check: bool) -> None:
    """Write an estimator to a .skops file; the certificate is a member of the archive."""
    made = io.BytesIO(_skops().dumps(estimator))
    if _is_pipeline(estimator):
        check = False
    else:
        ours = _estimator(where, estimator, 0, "numpy", None)
        certificate = Certificate.of(describe_model(ours)).to_json()
        with zipfile.ZipFile(made, "a") as archive:
            archive.writestr(_CERTIFICATE, certificate)
    with proven(where, path, CONSUMER, check) as temporary:
        temporary.write_bytes(made.getvalue())


# The proof of files


def _version() -> str | None:
    try:
        _skops()
        return str(import_module("sklearn").__version__)
    except ImportError:
        return None


def _certificate(path: Path) -> str | None:
    with container.named(path), archives.opened(path, _KIND) as archive:
        if _CERTIFICATE not in archive.namelist():
            return None
        return archives.member(archive, _CERTIFICATE, _LARGEST_SCHEMA).decode()


def _run(path: Path, certificate: Certificate) -> Outputs:
    model, x = _of_file("check", path), certificate.x.astype(certificate.dtype)
    if certificate.labels is None:
        return Outputs(model.predict(x))
    return Outputs(model.predict_proba(x), model.predict(x).tolist())


# Pipelines


def _is_pipeline(model: Any) -> bool:
    return type(model).__name__ == "Pipeline" and hasattr(model, "steps")


def _with_last(pipeline: Any, last: Any) -> Any:
    """A pipeline of the same steps but the last one."""
    *before, (name, _) = pipeline.steps
    return type(pipeline)([*before, (name, last)])


# Out


def _perceptron(where: str, net: Network, classes: Any) -> Any:
    kinds = import_module("sklearn.neural_network")
    dense = [part for part in parts_of(net) if type(part.layer) is not Dropout]
    sigmas = {type(part.layer.activation) for part in dense[:-1]}
    for part in dense:
        layer = part.layer
        plain = type(layer) is Dense and layer.factor == 1.0
        if not plain or type(layer.activation) not in _NAMES or len(sigmas) > 1:
            raise ValueError(
                f"{where}: scikit-learn cannot hold {part.name}, {layer}: its perceptrons have "
                f"dense layers of one activation, {', '.join(_NAMES.values())}. Write the whole "
                "model by to_onnx or to_c."
            )
    if net.dtype == "float16":
        raise ValueError(
            f"{where}: scikit-learn computes in float32 or float64, got float16. Pass "
            "net.to(dtype='float32')."
        )
    sizes = tuple(net.widths[1:-1])
    sigma = _NAMES[sigmas.pop()] if sigmas else "identity"
    given = {"hidden_layer_sizes": sizes, "activation": sigma, "max_iter": 1}
    if net.output == "softmax" and net.outputs == 2:
        raise ValueError(
            f"{where}: scikit-learn has one sigmoid for two classes, got a softmax of two outputs."
            " Train a network with output='sigmoid' and one output."
        )
    if net.output in ("softmax", "sigmoid"):
        model = kinds.MLPClassifier(**given)
        y = _labels(where, net, classes)
    elif classes is not None:
        raise ValueError(f"{where}: `classes` must be None of a network of output {net.output!r}.")
    elif net.output in ("identity", "exp"):
        model = kinds.MLPRegressor(**given, **({"loss": "poisson"} if net.output == "exp" else {}))
        y = host.full((2, net.outputs), 1.0)
    else:
        raise ValueError(f"{where}: scikit-learn cannot hold the output {net.output!r}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged
        model.fit(host.full((len(y), net.inputs), 0.0).astype(net.dtype), y)
    # What the fit has left behind is what partial_fit begins with.
    model.set_params(max_iter=200)
    model.__dict__.pop("_optimizer", None)
    model.loss_curve_.clear()
    model.t_ = model.n_iter_ = 0
    model.loss_, model.best_loss_ = float("nan"), float("inf")
    for part, W, b in zip(dense, model.coefs_, model.intercepts_, strict=True):
        W[...], b[...] = part.arrays["W"].T, part.arrays["b"]
    return model


def _labels(where: str, net: Network, classes: Any) -> Any:
    """Labels of a few rows, in which all classes are."""
    several = net.output == "sigmoid" and net.outputs > 1
    count = 2 if net.output == "sigmoid" and not several else net.outputs
    labels = host.arange(count) if classes is None else host.asarray(classes)
    if labels.shape != (count,) or host.unique(labels).tolist() != labels.tolist():
        raise ValueError(
            f"{where}: `classes` must be {count} labels in rising order, as scikit-learn has them, "
            f"got {labels.tolist()}."
        )
    if not several:
        return labels
    if labels.tolist() != [*range(count)]:
        raise ValueError(f"{where}: `classes` must be None of several sigmoids, got {classes!r}.")
    return host.asarray([[0] * count, [1] * count])


# In


def _estimator(where: str, source: Any, seed: int | None, backend: Any, device: Any) -> Any:
    from .. import estimators

    name = type(source).__name__
    kinds = import_module("sklearn.neural_network")
    if name not in _PERCEPTRONS or type(source) is not getattr(kinds, name):
        raise TypeError(
            f"{where}: `source` must be an MLPClassifier or MLPRegressor of scikit-learn's, a "
            f"Pipeline that ends in one, or the path of a .skops file, got {source!r}."
        )
    if not hasattr(source, "coefs_"):
        raise ValueError(f"{where}: `source` must be fitted, got {source}. Call its fit first.")
    weights = [W.T for W in source.coefs_]
    net = MLP.from_weights(
        weights,
        source.intercepts_,
        _ACTIVATIONS[source.activation],
        _OUTPUTS[source.out_activation_],
        backend=backend,
        device=device,
        seed=seed,
    )
    kind = getattr(estimators, name)
    known = kind().get_params()
    given = {key: value for key, value in source.get_params().items() if key in known}
    if name == "MLPRegressor":
        return kind.from_network(net, **given)
    several = net.output == "sigmoid" and net.outputs > 1
    return kind.from_network(net, None if several else source.classes_, **given)


def _skops() -> Any:
    try:
        return import_module("skops.io")
    except ImportError as error:
        raise ImportError(".skops files need skops: pip install nnpoly[skops]") from error


def _of_file(where: str, path: Any) -> Any:
    """The estimator in a .skops file."""
    skops, file = _skops(), container.as_path(where, path, "source")
    if not file.is_file():
        raise FileNotFoundError(f"{where}: `source` {path} is no file.")
    with container.named(path):
        content = file.read_bytes()
        with archives.opened(io.BytesIO(content), _KIND) as archive:
            schema = json.loads(archives.member(archive, "schema.json", _LARGEST_SCHEMA))
        for node in _nodes(schema):
            kind = f"{node.get('__module__')}.{node.get('__class__')}"
            loader = node.get("__loader__")
            if (kind, loader) not in _TRUSTED:
                raise ValueError(
                    f"it holds {kind}, made by {loader}, which is no part of a perceptron. Nothing "
                    "of it was made"
                )
        try:
            return skops.loads(content, trusted=skops.get_untrusted_types(data=content))
        except MemoryError as error:
            raise ValueError("it claims arrays that are larger than the memory") from error


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Yield the objects in a schema that say of which class they are."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if "__class__" in item or "__loader__" in item:
                yield item
            left += item.values()
        elif isinstance(item, list):
            left += item


CONSUMER = Consumer(
    "scikit-learn",
    "Install it, and skops: pip install nnpoly[sklearn,skops].",
    _version,
    _certificate,
    _run,
)
