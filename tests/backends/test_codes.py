"""The activations' and losses' codes: one order, in Python, in C and in CUDA."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT

from nnpoly import activations, losses
from nnpoly.activations import Activation
from nnpoly.backends import codes

NAMES = {type(sigma): name.upper() for name, sigma in activations.BY_NAME.items()}
NAMES[activations.Exp] = "EXP"
ORDER = [NAMES[kind] for kind in codes.ACTIVATIONS]
LOSS_NAMES = {type(loss): name.upper() for name, loss in losses.BY_NAME.items()}
LOSS_NAMES[losses.MSE] = "SQUARED_ERROR"
LOSS_ORDER = [LOSS_NAMES[kind] for kind in codes.LOSSES]
CUDA = ROOT / "nnpoly" / "backends" / "cupy" / "kernels.cu"


def constants(path: Path, enum: str) -> list[str]:
    """Return an enumeration's names, in order."""
    found = re.search(rf"enum {enum} {{(.*?)}};", path.read_text(), re.DOTALL)
    assert found
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", found[1]).replace(",", " ").split()


def test_every_activation_has_one_code():
    own = {k for k in Activation.__subclasses__() if k.__module__ == "nnpoly.activations"}
    assert set(codes.ACTIVATIONS) == own
    assert len(set(codes.ACTIVATIONS)) == len(codes.ACTIVATIONS)
    assert list(codes.CODES.values()) == list(range(len(codes.ACTIVATIONS)))


@pytest.mark.parametrize(("what", "order"), [("activation", ORDER), ("loss", LOSS_ORDER)])
def test_c_has_the_same_order(what, order):
    *names, count = constants(ROOT / "cext" / "nnpoly.h", f"nnpoly_{what}")
    focal = ["FOCAL", "FOCAL_SIGMOID"] if what == "loss" else []
    assert names == [f"NNPOLY_{name}" for name in order + focal]
    assert count == ("NNPOLY_ACTIVATIONS" if what == "activation" else "NNPOLY_LOSSES")


@pytest.mark.parametrize(("what", "order"), [("Activation", ORDER), ("Loss", LOSS_ORDER)])
def test_cuda_has_the_same_order(what, order):
    assert constants(CUDA, what) == order


def test_the_compiled_core_has_the_same_codes():
    lib = pytest.importorskip("nnpoly._core").lib
    for kind, code in codes.CODES.items():
        assert getattr(lib, f"NNPOLY_{NAMES[kind]}") == code
    assert len(codes.CODES) == lib.NNPOLY_ACTIVATIONS
    for kind, code in codes.LOSSES.items():
        assert getattr(lib, f"NNPOLY_{LOSS_NAMES[kind]}") == code
    focal = {"softmax": lib.NNPOLY_FOCAL, "sigmoid": lib.NNPOLY_FOCAL_SIGMOID}
    assert focal == codes.FOCAL
    assert len(codes.LOSSES) + len(focal) == lib.NNPOLY_LOSSES


@pytest.mark.parametrize("kind", codes.ACTIVATIONS, ids=NAMES.get)
def test_c_wants_the_array_that_the_derivative_reads(kind):
    core = pytest.importorskip("nnpoly._core")
    ones = [core.ffi.from_buffer(np.ones(3)) for _ in range(2)]
    arguments = core.lib.NNPOLY_FLOAT64, ones[0], core.ffi.NULL, ones[1], 3, codes.CODES[kind], 1.0
    wanted = core.lib.NNPOLY_OK if kind.reads == "none" else core.lib.NNPOLY_NULL
    assert core.lib.nnpoly_activation_delta(*arguments) == wanted


def test_what_kernels_know_of_an_activation():
    class Own(activations.ReLU):
        """A kernel for ReLU would ignore what it changes."""

    assert codes.known(activations.relu)
    assert not codes.known(Own())
    assert codes.parameter(activations.LeakyReLU(0.3)) == 0.3
    assert codes.parameter(activations.relu) == 0.0
    pre, post = np.zeros(1), np.ones(1)
    assert codes.read(activations.gelu, pre, post) is pre
    assert codes.read(activations.tanh, pre, post) is post
    assert codes.read(activations.linear, pre, post) is None
