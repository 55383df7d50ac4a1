"""Estimators in files: a trainer's file, with what the estimator adds as its extra data."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from .._described import construct, describe
from ..backends import host
from ..data.container import named, read, typed
from ..network.files import ESTIMATOR, ExtraFile, content_of, require_finite
from ..training import Trainer
from ..training.files import saved_in, within
from .parameters import FIXED

# What a fit may leave at None; other attributes of early files are None where there were none.
MAY_BE_NONE = ("best_loss_", "validation_scores_", "best_validation_score_")


class ArrayEntry(TypedDict):
    """An array (n,)."""

    array: list[str | bool | int | float | None]
    dtype: str


class TupleEntry(TypedDict):
    """A tuple."""

    tuple: list[Any]


class PairsEntry(TypedDict):
    """A dict."""

    pairs: list[tuple[Any, Any]]


class Learnt(TypedDict):
    """The attributes that a file holds beside the parameters and the trainer."""

    n_features_in_: int
    feature_names_in_: NotRequired[ArrayEntry | None]
    t_: int
    n_iter_: NotRequired[int | None]
    loss_: NotRequired[float]
    best_loss_: NotRequired[float | None]
    validation_scores_: NotRequired[list[float] | None]
    best_validation_score_: NotRequired[float | None]
    _fixed: NotRequired[PairsEntry | None]
    _rate: NotRequired[TupleEntry | None]
    _waited: NotRequired[int | None]


class LearntOfClassifier(Learnt):
    """Those of a classifier."""

    classes_: ArrayEntry
    _multilabel: bool


EstimatorEntry = TypedDict(
    "EstimatorEntry", {"class": str, "parameters": dict[str, Any], "learnt": dict[str, Any]}
)


def save(estimator: Any, path: Any, learnt: type[Learnt]) -> None:
    """Write a fitted estimator; `learnt` has its attributes that are to be kept."""
    estimator.trainer_.save(path, {ESTIMATOR: entry_of(estimator, learnt)})


def entry_of(estimator: Any, learnt: type) -> dict[str, Any]:
    """The estimator's parameters and attributes in a file's extra data."""
    where = f"{type(estimator).__name__}.save"
    given = {name: getattr(estimator, name) for name in _parameters(estimator)}
    names = [name for name in learnt.__annotations__ if hasattr(estimator, name)]
    kept = {name: getattr(estimator, name) for name in names}
    return {
        "class": type(estimator).__name__,
        "parameters": {name: _described(where, name, value) for name, value in given.items()},
        "learnt": {name: _described(where, name, value) for name, value in kept.items()},
    }


def _parameters(estimator: Any) -> list[str]:
    """The names of the parameters that a file holds."""
    return [name for name in estimator.get_params(deep=False) if name != "callbacks"]


def load(kind: type, path: Any, learnt: type[Learnt], backend: Any, device: Any) -> Any:
    """The estimator of a file that `save` wrote."""
    where = f"{kind.__name__}.load"
    header, arrays = read(path)
    entry = entry_in(kind, path, header, learnt)
    saved = saved_in(where, path, header, arrays, backend, device)
    require_finite(path, saved.network)
    with named(path):
        made = made_of(kind, path, entry, learnt)
        _require_consistent(made, where, saved.network)
    # Where there is no such precision, it is refused when it is used: set_params(precision=None).
    net = saved.network
    known = made.precision in net.place.backend.precisions and net.dtype == "float32"
    made.trainer_ = Trainer.of_saved(path, saved, made.precision if known else None)
    return made


def entry_in(kind: type, path: Any, header: dict[str, Any], learnt: type) -> EstimatorEntry:
    """The entry of an estimator of this class, with attributes of `learnt`, in a file's header."""
    file = typed(path, header, ExtraFile)
    content = file.get("extra", {}).get(ESTIMATOR)
    entry = None if content is None else typed(path, content, EstimatorEntry)
    if entry is None or entry["class"] != kind.__name__:
        came, reader = content_of(file)
        raise ValueError(
            f"{kind.__name__}.load: {path} must hold a {kind.__name__}, got {came}. Use {reader}."
        )
    typed(path, entry["learnt"], learnt)
    return entry


def made_of(kind: type, path: Any, entry: EstimatorEntry, learnt: type) -> Any:
    """The estimator of an entry, without its networks."""
    values = entry["learnt"]
    strangers = entry["parameters"].keys() - set(_parameters(kind()))
    if strangers:
        raise ValueError(f"{kind.__name__} has no parameter {min(strangers)!r}")
    given = {name: _constructed(path, value) for name, value in entry["parameters"].items()}
    made = kind(**given)
    for name in learnt.__annotations__:
        if name in values and (values[name] is not None or name in MAY_BE_NONE):
            setattr(made, name, _constructed(path, values[name]))
    return made


def _require_consistent(made: Any, where: str, net: Any) -> None:
    """Refuse learnt attributes that are not of this network."""
    width = made.n_features_in_
    if width != net.inputs or len(getattr(made, "feature_names_in_", range(width))) != width:
        raise ValueError(f"its features are not the {net.inputs} inputs of its network")
    within("t_", made.t_)
    for name in ("n_iter_", "_waited"):
        within(name, getattr(made, name, 0))
    strangers = getattr(made, "_fixed", {}).keys() - set(FIXED)
    if strangers:
        raise ValueError(f"its `_fixed` has no {min(strangers)!r}")
    made._require_network(where, net)


def _described(where: str, name: str, value: Any) -> Any:
    """A parameter or an attribute as JSON's types."""
    if host.is_host(value):
        kind = str(value.dtype)
        if value.ndim == 0:
            return value.item()
        try:
            host.of_values(value.tolist(), kind)
        except ValueError as error:
            raise TypeError(
                f"{where}: `{name}` must hold texts, numbers or booleans to be written, got dtype "
                f"{kind}. Fit with texts as labels: y.astype(str)."
            ) from error
        return {"array": value.tolist(), "dtype": kind}
    if isinstance(value, tuple):
        return {"tuple": [_described(where, name, item) for item in value]}
    if isinstance(value, dict):
        pairs = [[_described(where, name, k), _described(where, name, v)] for k, v in value.items()]
        return {"pairs": pairs}
    try:
        return describe(value)
    except TypeError as error:
        raise TypeError(
            f"{where}: `{name}` must be a number, a text or one of nnpoly's objects to be written, "
            f"got {value!r}. Set another value first: set_params({name}=None)."
        ) from error


def _constructed(path: Any, value: Any) -> Any:
    """The inverse of `_described`."""
    if isinstance(value, dict) and "array" in value:
        array = typed(path, value, ArrayEntry)
        return host.of_values(array["array"], array["dtype"])
    if isinstance(value, dict) and "tuple" in value:
        return tuple(_constructed(path, item) for item in typed(path, value, TupleEntry)["tuple"])
    if isinstance(value, dict) and "pairs" in value:
        pairs = typed(path, value, PairsEntry)["pairs"]
        return {_constructed(path, key): _constructed(path, item) for key, item in pairs}
    return construct(value)
