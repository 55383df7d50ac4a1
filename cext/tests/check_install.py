"""Train a small network with the installed package and say what it runs on.

Exits with 1 if training does not learn. With NNPOLY_REQUIRE_C=1 the C core must be in use, too.
"""

import os
import sys

import numpy as np

import nnpoly as nn
from nnpoly.backends import get


def main() -> int:
    """Return the exit status."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 2))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    trainer = nn.Trainer(nn.MLP([2, 32, 2], seed=0), nn.Adam(0.02))
    accuracy = (trainer.network(X).argmax(axis=1) == y).mean()
    trainer.fit(X, y, epochs=40)
    trained = (trainer.network(X).argmax(axis=1) == y).mean()
    core = get("numpy").details()["C core"]
    print(f"accuracy {accuracy:.2f} -> {trained:.2f}; C core: {core}")
    wanted = os.environ.get("NNPOLY_REQUIRE_C") == "1"
    return 0 if trained > 0.95 and not (wanted and core.startswith("none")) else 1


if __name__ == "__main__":
    sys.exit(main())
