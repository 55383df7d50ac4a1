"""Pictures of networks: training, decisions, errors, weights. Needs pip install nnpoly[plot].

Each function draws on the axes `ax` and returns them. Without `ax` it makes a new figure without
pyplot: nothing global changes and no window is needed. The figure is `ax.figure`: write it with
`ax.figure.savefig(path)`; in a notebook, after `%matplotlib inline`, make it a cell's last line.
Functions that draw a panel a layer take a `figure` instead. Arrays may be of any backend; none is
modified.

scikit-learn computes the numbers where it can. Its pictures are not used, since they need pyplot.
"""

from ._style import BLUE, PALETTE, VERMILION
from .decisions import decision_boundary
from .errors import calibration, comparison, confusion_matrix, predicted_vs_true
from .layers import activation_histograms, gradient_norms, weight_histograms
from .reports import classification_report, loss_figure, regression_report
from .training import history

__all__ = [
    "BLUE",
    "PALETTE",
    "VERMILION",
    "activation_histograms",
    "calibration",
    "classification_report",
    "comparison",
    "confusion_matrix",
    "decision_boundary",
    "gradient_norms",
    "history",
    "loss_figure",
    "predicted_vs_true",
    "regression_report",
    "weight_histograms",
]
