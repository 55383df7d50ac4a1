"""Every network and optimiser run of golden.npz, made by torch in float64, on every backend.

`golden/make_golden.py` says what the file holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnpoly as nn

FILE = Path(__file__).parent / "golden" / "golden.npz"
with np.load(FILE) as archive:
    GOLDEN = dict(archive)
META = json.loads(str(GOLDEN["meta"]))
OPTIMISED = sorted({key.split("/")[1] for key in GOLDEN if key.startswith("opt/")})

# Sums are up to 8 long, and each of up to 4 layers adds its rounding forward and back: 4 units of
# eps sqrt(8), on the scale of an array's largest entry, are twice what was seen on any backend.
UNITS = 4
TERMS = 8


def record(name: str) -> dict[str, np.ndarray]:
    """Return one network's arrays by name."""
    prefix = f"net/{name}/"
    return {key.removeprefix(prefix): v for key, v in GOLDEN.items() if key.startswith(prefix)}


def numbered(arrays: dict[str, np.ndarray], key: str) -> list[np.ndarray]:
    """Return an array of each layer."""
    return [arrays[f"{key}{i}"] for i in range(len(arrays)) if f"{key}{i}" in arrays]


def network(name: str, place: dict[str, Any], dtype: str = "float64") -> nn.MLP:
    spec, arrays = META["networks"][name], record(name)
    Ws, bs = numbered(arrays, "W"), numbered(arrays, "b")
    return nn.MLP.from_weights(Ws, bs, spec["activation"], spec["output"], dtype=dtype, **place)


def assert_close(variant, got: Any, want: np.ndarray, dtype: str, what: str) -> None:
    """Check shape, dtype and values; an array's entries are compared on its own scale."""
    host = variant.host(got)
    assert host.dtype == dtype, what
    assert host.shape == want.shape, what
    allowed = UNITS * np.finfo(dtype).eps * np.sqrt(TERMS) * np.max(np.abs(want))
    assert np.max(np.abs(host - want)) <= allowed, what


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", META["networks"])
def test_forward_and_backward_pass(backend_variant, name, dtype):
    net, arrays = network(name, backend_variant.place, dtype), record(name)
    X, y = arrays["X"], arrays["y"]
    trace = net.trace(X)
    loss, grads = net.gradients(X, y)
    computed = {"output": [net(X)], "loss": [loss], "pre": trace.pre, "delta": grads.delta}
    computed |= {"dW": grads.W, "db": grads.b, "post": [*trace.post[:-1], trace.scores]}
    pairs = zip(numbered(arrays, "dW"), numbered(arrays, "db"), strict=True)
    arrays["flat"] = np.concatenate([piece.ravel() for pair in pairs for piece in pair])
    computed["flat"] = [grads.flat]  # W then b, layer by layer
    for key, values in computed.items():
        wanted = numbered(arrays, key) or [arrays[key]]
        for i, (got, want) in enumerate(zip(values, wanted, strict=True)):
            assert_close(backend_variant, got, want, dtype, f"{key}{i}")


@pytest.mark.parametrize("rule", META["rules"])
@pytest.mark.parametrize("name", OPTIMISED)
def test_optimiser_run(backend_variant, name, rule):
    """Ten steps; an error of a step is enlarged by those after it, to 1e-11 at most."""
    kind, arrays = META["rules"][rule], record(name)
    optimizer = getattr(nn, kind["class"])(**kind["kwargs"])
    trainer = nn.Trainer(network(name, backend_variant.place), optimizer)
    for step, want in enumerate(GOLDEN[f"opt/{name}/{rule}/w"], 1):
        trainer.step(arrays["X"], arrays["y"])
        got = backend_variant.host(trainer.network.w)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11, err_msg=f"step {step}")


def test_the_file_is_whole():
    assert META["steps"] == 10
    assert len(META["networks"]) == 14
    runs = [key for key in GOLDEN if key.startswith("opt/")]
    assert len(runs) == len(OPTIMISED) * len(META["rules"])
    classes = {rule["class"] for rule in META["rules"].values()}
    assert classes == {"SGD", "AdaGrad", "RMSProp", "Adam", "AdamW", "NAdam", "AMSGrad", "Lion"}


def test_inside_and_outside_roots_part():
    """The two places of eps must not be mistaken for one another by the bound above."""
    for name in OPTIMISED:
        for rule in ("adam_eps1e-3", "rmsprop_eps1e-3", "adagrad_eps1e-3"):
            inside, outside = (
                GOLDEN[f"opt/{name}/{rule}_{side}/w"] for side in ("inside", "outside")
            )
            assert np.max(np.abs(inside - outside)) > 1e-4
