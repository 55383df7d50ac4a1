"""Models from nnpoly's own files, whatever kind of model it is."""

from __future__ import annotations

from typing import Any

from .. import tables
from ..data.container import read, typed
from ..network.files import TABLE, ExtraFile, estimator_in, network_in, require_finite


def open_model(path: Any) -> Any:
    """Return the network, estimator or model of a table of a file, on NumPy.

    A trainer's file gives its network.

    Raises
    ------
    ValueError, OSError
        For a file that cannot be read, and one whose parameters are not finite.
    ImportError
        If scikit-learn is missing, and the model is an estimator's.
    """
    content = read(path)
    extra = typed(path, content[0], ExtraFile).get("extra", {})
    if TABLE in extra:
        return tables.load(path, "numpy")
    if name := estimator_in(extra):
        from .. import estimators

        kind = getattr(estimators, name, None) if name in estimators.__all__ else None
        if kind is None:
            raise ValueError(f"open_model: {path} holds a {name!r}, which nnpoly has not.")
        return kind.load(path, "numpy")
    net, _ = network_in(path, content, "numpy", None)
    require_finite(path, net)
    return net
