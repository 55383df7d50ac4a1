"""The path of ensembles before they moved into `nnpoly.training`, which stays."""

from .training.ensemble import Ensemble as Ensemble
from .training.ensemble import Prediction as Prediction
