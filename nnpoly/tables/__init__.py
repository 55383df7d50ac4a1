"""Tables: networks that read frames, CSV, Parquet and NPZ files, column by column.

`fit` trains one of a table, and measures it beside a linear model and boosted trees. Reading and
preprocessing need polars and scikit-learn: pip install nnpoly[tables]. On the command line:
`nnpoly train | predict | evaluate | summary`.
"""

from . import metrics
from .columns import Category, Preprocessing, Schema
from .comparing import baselines
from .estimated import EstimatorModel, TableColumns
from .fitting import HeldOut, Prepared, prepare
from .loading import load
from .model import EXTRA, Model, Predictions, TableModel
from .planning import MODELS, fit
from .reading import as_table, read
from .results import Fitted
from .splitting import Split, split
from .table import Table
from .targets import TASKS, Classes, Quantity, known_rows, told_task

__all__ = [
    "EXTRA",
    "MODELS",
    "TASKS",
    "Category",
    "Classes",
    "EstimatorModel",
    "Fitted",
    "HeldOut",
    "Model",
    "Predictions",
    "Prepared",
    "Preprocessing",
    "Quantity",
    "Schema",
    "Split",
    "Table",
    "TableColumns",
    "TableModel",
    "as_table",
    "baselines",
    "fit",
    "known_rows",
    "load",
    "metrics",
    "prepare",
    "read",
    "split",
    "told_task",
]
