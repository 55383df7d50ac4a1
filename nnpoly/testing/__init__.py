"""Tools that show whether backends agree and gradients are right, for any network and data.

`assert_parity` walks through training in lock-step: at every step each layer of the tested backend
is given the inputs that the float64 definition saw, forward and backward, and so are the loss and
the optimiser, so an error is found where it arises and does not pile up. Beside that the backend's
own trainer runs freely, compiled step and all, and must stay as close to the float64 trajectory as
the definition itself does in the tested dtype.
"""

from .differences import check_gradients
from .parity import Finding, assert_parity
from .report import Report, Row, parity_report

__all__ = ["Finding", "Report", "Row", "assert_parity", "check_gradients", "parity_report"]
