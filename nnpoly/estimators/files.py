"""Estimators in files: a trainer's file, with what the estimator adds as its extra data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._described import construct, describe
from ..backends import host
from ..data.container import read
from ..training import Trainer
from ..training.files import saved_in

EXTRA = "estimator"  # the key of the extra data


def save(estimator: Any, path: Any, learnt: Sequence[str]) -> None:
    """Write a fitted estimator; `learnt` names its attributes that are to be kept."""
    where = f"{type(estimator).__name__}.save"
    given = estimator.get_params(deep=False)
    content = {
        "class": type(estimator).__name__,
        "parameters": {k: _described(where, k, v) for k, v in given.items() if k != "callbacks"},
        "learnt": {k: _described(where, k, getattr(estimator, k, None)) for k in learnt},
    }
    estimator.trainer_.save(path, {EXTRA: content})


def load(kind: type, path: Any, backend: Any, device: Any) -> Any:
    """The estimator of a file that `save` wrote."""
    header, arrays = read(path)
    content = header.get("extra", {}).get(EXTRA, {})
    if content.get("class") != kind.__name__:
        came = content.get("class") or "no estimator"
        raise ValueError(f"{kind.__name__}.load: {path} must hold a {kind.__name__}, got {came}.")
    made = kind(**{name: _constructed(value) for name, value in content["parameters"].items()})
    saved = saved_in(f"{kind.__name__}.load", path, header, arrays, backend, device)
    made.trainer_ = Trainer.of_saved(path, saved)
    for name, value in content["learnt"].items():
        if value is not None:
            setattr(made, name, _constructed(value))
    return made


def _described(where: str, name: str, value: Any) -> Any:
    """A parameter or an attribute as JSON's types."""
    if host.is_host(value):
        kind = str(value.dtype)
        return value.item() if value.ndim == 0 else {"array": value.tolist(), "dtype": kind}
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


def _constructed(value: Any) -> Any:
    """The inverse of `_described`."""
    if isinstance(value, dict) and "array" in value:
        return host.asarray(value["array"], value["dtype"])
    if isinstance(value, dict) and "tuple" in value:
        return tuple(_constructed(item) for item in value["tuple"])
    if isinstance(value, dict) and "pairs" in value:
        return {_constructed(k): _constructed(v) for k, v in value["pairs"]}
    return construct(value)
