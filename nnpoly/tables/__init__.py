"""Tables: networks that read CSV, Parquet and NPZ files, column by column.

Reading and preprocessing need polars and scikit-learn: pip install nnpoly[tables]. On the command
line: `nnpoly train | predict | evaluate | summary`.
"""

from . import metrics
from .columns import Category, Preprocessing, Schema
from .fitting import Prepared, Split, baselines, prepare, split
from .model import EXTRA, Predictions, TableModel, load
from .reading import read
from .table import Table
from .targets import TASKS, Classes, Quantity, known_rows, told_task

__all__ = [
    "EXTRA",
    "TASKS",
    "Category",
    "Classes",
    "Predictions",
    "Prepared",
    "Preprocessing",
    "Quantity",
    "Schema",
    "Split",
    "Table",
    "TableModel",
    "baselines",
    "known_rows",
    "load",
    "metrics",
    "prepare",
    "read",
    "split",
    "told_task",
]
