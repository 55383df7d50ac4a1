"""Estimators in the workers of joblib, which scikit-learn's `n_jobs` starts."""

from __future__ import annotations

import os
import subprocess
import sys

from conftest import built_core

built_core()

CODE = """
import warnings; warnings.simplefilter("ignore")
import joblib, numpy as np
from nnpoly.backends import get
from nnpoly.estimators import MLPClassifier

def work(X, y):
    warnings.simplefilter("ignore")
    model = MLPClassifier((8,), max_iter=2, random_state=0).fit(X, y)
    how = model.trainer_.summary().splitlines()[-1]
    threads = get("numpy").details()["C core"].split(", ")[1]
    return type(X).__name__, how, threads, model.network_.w.tobytes()

rng = np.random.default_rng(0)
for rows in (200, 20_000):
    X = rng.normal(size=(rows, 30)); y = (X[:, 0] > 0).astype(int)
    kind, how, threads, w = work(X, y)
    jobs = joblib.Parallel(n_jobs=2, max_nbytes="1M")(joblib.delayed(work)(X, y) for _ in range(2))
    for there in jobs:
        print(there[0], how == there[1], threads, there[2], w == there[3])
"""


def test_a_worker_computes_as_its_parent_does_in_its_share_of_the_threads():
    """From a pickle, and from a file in which joblib shares a large X."""
    unset = ("OMP", "OPENBLAS", "MKL", "NNPOLY")
    settings = {k: v for k, v in os.environ.items() if not k.startswith(unset)}
    settings["LOKY_MAX_CPU_COUNT"] = "2"
    command = [sys.executable, "-W", "ignore", "-c", CODE]
    said = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    lines = [line.split() for line in said.stdout.splitlines()]
    assert [kind for kind, *_ in lines] == ["ndarray"] * 2 + ["memmap"] * 2
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    for _, same_way, threads, _, there, *_, same_bits in lines:
        assert (same_way, same_bits, there) == ("True", "True", "1")
        assert int(threads) <= cpus
