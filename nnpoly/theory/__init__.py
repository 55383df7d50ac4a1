"""The lecture as small functions with exact results.

Gates and neurons, the perceptron rule, linear collapse, softmax and sigmoid, initialisation,
broadcasting, optimisers on a quadratic, universal approximation, and depth. Each function states
its equation and its source. Arrays in results are NumPy's, in float64; networks live on the backend
`backend`.
"""

from .approximation import Approximation, approximate
from .broadcast import Broadcasting, BroadcastStep, broadcasting
from .depth import DepthComparison, shallow_fails, tent, tent_network
from .equivalence import collapse_linear, softmax_as_sigmoid, to_sigmoid
from .initialisation import SymmetryRun, VarianceProfile, symmetry, variance_profile
from .neurons import (
    GATES,
    DecisionLine,
    decision_line,
    gate,
    single_neuron,
    truth_table,
    xor_network,
)
from .pieces import count_linear_pieces, shallow_width_bound
from .quadratic import QuadraticPath, contraction_factors, divergence_limit, optimizer_paths
from .separability import CommonPoint, PerceptronRun, common_point, perceptron

__all__ = [
    "GATES",
    "Approximation",
    "BroadcastStep",
    "Broadcasting",
    "CommonPoint",
    "DecisionLine",
    "DepthComparison",
    "PerceptronRun",
    "QuadraticPath",
    "SymmetryRun",
    "VarianceProfile",
    "approximate",
    "broadcasting",
    "collapse_linear",
    "common_point",
    "contraction_factors",
    "count_linear_pieces",
    "decision_line",
    "divergence_limit",
    "gate",
    "optimizer_paths",
    "perceptron",
    "shallow_fails",
    "shallow_width_bound",
    "single_neuron",
    "softmax_as_sigmoid",
    "symmetry",
    "tent",
    "tent_network",
    "to_sigmoid",
    "truth_table",
    "variance_profile",
    "xor_network",
]
