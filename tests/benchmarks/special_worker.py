"""One contestant of special.py in a process of its own."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np
from by_numpy import Numpy, views
from problem import Contestant, Problem
from worker import CONTESTANTS, LEARNING_RATE, calibrate, serve, timed

THREADS = int(os.environ["OMP_NUM_THREADS"])
TINY = float(np.finfo(np.float32).tiny)
FAST, STEPS = 0.1, 1000  # which learn a batch by heart
GAP = 90.0  # of scores, right to wrong class, at least: e^-90 is denormal in float32
ROWS = 6400  # of an epoch of an ensemble's member


def moments_of(contestant: Any) -> list[np.ndarray]:
    """Return the optimiser's moments, wherever the contestant keeps them."""
    if hasattr(contestant, "trainer"):
        return [np.asarray(moment) for moment in contestant.trainer.stepper.state.moments]
    if hasattr(contestant, "optimizer"):
        states = contestant.optimizer.state.values()
        return [state[name].numpy() for state in states for name in ("exp_avg", "exp_avg_sq")]
    if hasattr(contestant, "state"):
        pairs = [*contestant.state.m, *contestant.state.s]
        return [np.asarray(array) for pair in pairs for array in pair]
    return [contestant.adam.m, contestant.adam.s]


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


class Worker:
    """Answers requests about one contestant, a key of worker.CONTESTANTS."""

    def __init__(self, name: str) -> None:
        self.module, kind = CONTESTANTS[name]
        self.build: type[Contestant] = getattr(import_module(self.module), kind)
        self.made: dict[str, Contestant] = {}

    def versions(self) -> dict[str, Any]:
        """Import the contestant's libraries."""
        return {"versions": import_module(self.module).versions()}

    def learn(self, network: str) -> dict[str, Any]:
        """Build a fresh network, and one that knows its batch by heart."""
        problem = Problem.parse(network)
        learnt = by_heart(problem)
        self.made = {
            kind: self.build(p, LEARNING_RATE)
            for kind, p in (("fresh", problem), ("learnt", learnt))
        }
        self.made["learnt"].steps(STEPS)
        loss = float(self.made["learnt"].step())
        steps = calibrate(self.made["fresh"])
        return {"steps": steps, "loss": loss, "denormal": denormal(self.made["learnt"])}

    def block(self, kind: str, steps: int) -> dict[str, Any]:
        """Time a block, after a tenth as many untimed steps that warm the caches."""
        timed(self.made[kind], steps // 10)
        return {"us": timed(self.made[kind], steps) / steps * 1e6}

    def ensemble(self, network: str, way: str) -> dict[str, Any]:
        """Time two epochs of 64 members, after one that is not timed."""
        import nnpoly as nn

        nn.set_num_threads(1 if way.endswith("one thread") else THREADS)
        problem = Problem.parse(network)
        batch, widths = len(problem.x), [W.shape[1] for W in problem.weights]
        rng = np.random.default_rng(0)
        X = rng.standard_normal((ROWS, widths[0]), dtype=np.float32)
        y = rng.integers(len(problem.biases[-1]), size=ROWS)
        widths.append(len(problem.biases[-1]))
        ensemble = nn.Ensemble(
            [
                nn.Trainer(nn.MLP(widths, problem.activation, seed=seed), nn.Adam(LEARNING_RATE))
                for seed in range(64)
            ]
        )

        def train(epochs: int) -> None:
            if way == "together":
                ensemble.fit(X, y, epochs=epochs, batch_size=batch)
                return
            for trainer in ensemble:
                trainer.fit(X, y, epochs=epochs, batch_size=batch)

        train(1)
        start = perf_counter()
        train(2)
        return {"us": (perf_counter() - start) / (2 * 64 * ROWS / batch) * 1e6}


if __name__ == "__main__":
    serve(lambda: Worker(sys.argv[1]))
