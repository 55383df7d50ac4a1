"""One hash: the weights after fixed runs have the same bits on every processor with FMA.

Whatever the instructions, the number of threads, the compiler and the versions of Python and NumPy:
the C core never splits a sum, and adds and multiplies in one order.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import built_core

core = built_core()

# SHA-256 of w after five epochs, by the hidden layers' activation.
PUBLISHED = {
    "relu": "742fed8ef1dcc65eeac29c15b48cf079e95b09f6e04cb5a4f3adab36827323a3",
    "tanh": "be22f1ca16b8f2afd8d5b36511fa1e736900db0c8da540359b2df24e9dd58d81",
    "gelu": "19dcd47fc14dfd47c575dbba7a136d76758c503177d370168d3b8156ed1263a7",
    "silu": "5e09975be1b162c1014fe43dce855086440e2cc7c38ffb2d8c619e84187e5634",
    "softplus": "11312f1a555e90b1578212ff78fd9648a04f58fc95e938a84f125af50c03efa4",
}

RUNS = """
import hashlib, json, sys
import numpy as np
import nnpoly as nn

rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 64)).astype("f4")
y = rng.integers(0, 10, 1000)
hashes = {}
for activation in sys.argv[1:]:
    net = nn.MLP([64, 100, 50, 10], activation, "softmax", seed=1)
    nn.Trainer(net, nn.Adam(1e-3)).fit(X, y, epochs=5, batch_size=64)
    hashes[activation] = hashlib.sha256(net.w.tobytes()).hexdigest()
print(json.dumps(hashes))
"""


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("isa", [isa for isa in core.isas() if isa != "baseline"])
def test_the_weights_have_the_published_hashes(isa: str, threads: int) -> None:
    settings = {"NNPOLY_ISA": isa, "NNPOLY_NUM_THREADS": str(threads)}
    ran = subprocess.run(
        [sys.executable, "-c", RUNS, *PUBLISHED],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == PUBLISHED
