"""The contestants of special.py.

A case is `fresh:network` or `learnt:network` of any contestant of step.py, where the learnt one
solves its batch so surely that deltas and moments are denormal; or, of nnpoly alone, how an
ensemble is trained: `together:network`, `in turn:network` or `in turn, one thread:network`.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from by_numpy import Numpy, views
from problem import LEARNING_RATE, Contestant, Problem
from step_cases import kind, versions  # noqa: F401  their versions are ours
from timing import Blocks, Case, seconds

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))
TINY = float(np.finfo(np.float32).tiny)
FAST, STEPS = 0.1, 1000  # which learn a batch by heart
GAP = 90.0  # of scores, right to wrong class, at least: e^-90 is denormal in float32
MEMBERS = 64
ROWS = 6400  # of an epoch of an ensemble's member


def moments_of(contestant: Any) -> list[np.ndarray]:
    """Return the optimiser's moments, wherever the contestant keeps them."""
    if hasattr(contestant, "trainer"):
        return saved_moments(contestant.trainer)
    if hasattr(contestant, "optimizer"):
        states = contestant.optimizer.state.values()
        return [state[name].numpy() for state in states for name in ("exp_avg", "exp_avg_sq")]
    if hasattr(contestant, "state"):
        pairs = [*contestant.state.m, *contestant.state.s]
        return [np.asarray(array) for pair in pairs for array in pair]
    return [contestant.adam.m, contestant.adam.s]


def saved_moments(trainer: Any) -> list[np.ndarray]:
    """Return the moments that a trainer writes to its file."""
    from safetensors.numpy import load_file

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trainer.safetensors"
        trainer.save(path)
        return [array for name, array in load_file(path).items() if name.startswith("moment/")]


def denormal(contestant: Contestant) -> int:
    """Return how many elements of the moments are denormal."""
    sizes = [np.abs(moment) for moment in moments_of(contestant)]
    return int(sum(((size > 0) & (size < TINY)).sum() for size in sizes))


def by_heart(problem: Problem) -> Problem:
    """Return the problem from parameters that solve it, with the certainty of long training."""
    network = Numpy(problem, FAST)
    network.steps(STEPS)
    shapes = [
        array.shape for pair in zip(problem.weights, problem.biases, strict=True) for array in pair
    ]
    learnt = [view.copy() for view in views(network.w, shapes)]
    weights, biases = learnt[0::2], learnt[1::2]
    scores, rows = network.scores(), np.arange(len(problem.y))
    others = scores[rows, problem.y][:, None] - scores
    scale = np.float32(GAP / np.min(others[others > 0]))
    weights[-1] *= scale
    biases[-1] *= scale
    return replace(problem, weights=weights, biases=biases)


def prepare(contestant: str, case: str) -> Case:
    """Build a network, fresh or learnt, or an ensemble."""
    way, _, network = case.partition(":")
    if way not in ("fresh", "learnt"):
        return Ensembles(way, Problem.parse(network))
    problem = Problem.parse(network)
    if way == "fresh":
        return Blocks(kind(contestant)(problem, LEARNING_RATE))
    learnt = kind(contestant)(by_heart(problem), LEARNING_RATE)
    learnt.steps(STEPS)
    return Blocks(learnt, loss=float(learnt.step()), denormal=denormal(learnt))


class Ensembles(Case):
    """Epochs of an ensemble's members, together or in turn, after one that is not timed."""

    def __init__(self, way: str, problem: Problem) -> None:
        import nnpoly as nn

        super().__init__()
        self.together, self.threads = way == "together", 1 if "one thread" in way else THREADS
        self.batch = len(problem.x)
        widths = [W.shape[1] for W in problem.weights] + [len(problem.biases[-1])]
        rng = np.random.default_rng(0)
        self.X = rng.standard_normal((ROWS, widths[0]), dtype=np.float32)
        self.y = rng.integers(widths[-1], size=ROWS)
        nets = [nn.MLP(widths, problem.activation, seed=seed) for seed in range(MEMBERS)]
        self.ensemble = nn.Ensemble([nn.Trainer(net, nn.Adam(LEARNING_RATE)) for net in nets])
        self.set_threads = nn.set_num_threads
        self.steps(1)

    def steps(self, count: int) -> None:
        """Train so many epochs."""
        self.set_threads(self.threads)
        for fit in [self.ensemble.fit] if self.together else [t.fit for t in self.ensemble]:
            fit(self.X, self.y, epochs=count, batch_size=self.batch)

    def wait(self) -> None:
        """Do nothing: no fit returns before it is done."""

    def sample(self, number: int) -> dict[str, float]:
        """Return microseconds a member and step, of two epochs."""
        return {"us": seconds(self, 2) / (2 * MEMBERS * ROWS / self.batch) * 1e6}
