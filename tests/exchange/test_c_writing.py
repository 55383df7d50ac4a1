"""What to_c refuses, and how its file is used."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_programs import STRICT, needs_gcc

import nnpoly as nn
from nnpoly.activations import Activation
from nnpoly.exchange import c_running, check, to_c
from nnpoly.primitives import Array, Ops


class Cube(Activation):
    """z^3."""

    def value(self, ops: Ops, pre: Array) -> Array:
        return pre * pre * pre


class Halved(nn.Dropout):
    """A layer of one's own."""


def broken() -> nn.Network:
    net = nn.MLP([3, 4, 2])
    net.w = np.full(net.w.shape, np.nan, "float32")
    return net


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        (nn.MLP([3, 2]), "2nets", "`name` must be a name in C"),
        (nn.MLP([3, 2]), "a b", "`name` must be a name in C"),
        (nn.MLP([3, 2]), "f(); int g", "`name` must be a name in C"),
        (nn.MLP([3, 2]), "net\n", "`name` must be a name in C"),
        (nn.MLP([3, 2]), "double", "`name` must not be a word of C"),
        (nn.MLP([3, 2]), None, "`name` must be a name in C"),
        (nn.MLP([3, 4, 2], dtype="float16"), "f", "float32 or float64, got float16"),
        (nn.MLP([3, 4, 2], activation=Cube()), "f", r"no activation Cube\(\) in C"),
        (nn.Network([nn.Dense(3, 2), Halved(0.1)]), "f", "no layer Halved"),
        (broken(), "f", "weights must be finite, got NaN or infinity in W of network 0"),
        (nn.MLP([1, 400_000, 2]), "f", "must fit 1 MiB of stack"),
        (3, "f", "`model` must be an nn.Network"),
    ],
)
def test_what_is_refused(model: Any, name: Any, message: str, tmp_path: Path) -> None:
    target = tmp_path / "net.h"
    target.write_text("as it was")
    with pytest.raises((TypeError, ValueError), match=f"to_c: .*{message}"):
        to_c(model, target, name)
    assert target.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [target]


@needs_gcc
def test_a_program_that_computes_otherwise_is_not_published(tmp_path, monkeypatch) -> None:
    target = tmp_path / "net.h"
    to_c(nn.MLP([3, 2], seed=1), target, check=False)
    text = before = target.read_text()
    weight = text.partition("static const float predict_w0")[2].splitlines()[2].partition(",")[0]
    target.write_text(text.replace(f"\n{weight},", f"\n{float(weight[:-1]) + 0.01}f,", 1))
    report = check(target)
    assert not report.holds
    assert report.units > 10
    target.write_text(before)
    monkeypatch.setattr(c_running, "OPTIONS", (*c_running.OPTIONS, "-DPREDICT_DECLARE"))
    with pytest.raises(ValueError, match="fails"):
        to_c(nn.MLP([3, 2], seed=2), target)
    assert target.read_text() == before
    assert list(tmp_path.iterdir()) == [target]


@needs_gcc
def test_one_header_in_many_files(tmp_path) -> None:
    """Defined in one file and declared in others; or static; two models side by side."""
    net, other = nn.MLP([2, 3, 2], seed=1), nn.MLP([2, 4, 1], output="identity", dtype="float64")
    to_c(net, tmp_path / "net.h", "net", check=False)
    to_c(other, tmp_path / "OTHER.h", "OTHER", check=False)
    sources = {
        "defined.c": '#include "net.h"\n#include "net.h"\n',
        "static.c": "#define NET_LINKAGE static\n#include <string.h>\n"
        '#include "net.h"\nvoid again(const float *x, float *out);\n'
        "void again(const float *x, float *out) { net_batch(x, out, 1); net(x, out); }\n",
        "main.cpp": '#define NET_DECLARE\n#include "net.h"\n#include "OTHER.h"\n#include <cstdio>\n'
        'extern "C" void again(const float *x, float *out);\n'
        "int main() { float x[NET_INPUTS] = {1, -2}, out[NET_OUTPUTS]; double y[2] = {1, -2}, f;\n"
        'net(x, out); std::printf("%.9g ", out[0]); again(x, out); std::printf("%.9g ", out[0]);\n'
        'OTHER(y, &f); std::printf("%.17g", f); }\n',
    }
    objects = []
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
        standard = ["g++", "-std=c++11"] if name.endswith("cpp") else ["gcc", "-std=c99"]
        objects.append(str(tmp_path / f"{name}.o"))
        command = [*standard, *STRICT, "-c", str(tmp_path / name), "-o", objects[-1]]
        subprocess.run(command, check=True)
    program = str(tmp_path / "program")
    subprocess.run(["g++", *objects, "-o", program], check=True)
    found = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
    x = np.array([[1.0, -2.0]])
    first = float(net(x.astype("float32"))[0, 0])
    np.testing.assert_allclose([float(f) for f in found], [first, first, other(x)[0, 0]], rtol=1e-6)


@needs_gcc
def test_the_file_tests_itself(tmp_path) -> None:
    header, program = tmp_path / "policy.h", str(tmp_path / "program")
    to_c(nn.MLP([17, 64, 64, 6], seed=0), header, "policy")
    command = ["gcc", "-std=c99", *STRICT, "-DPOLICY_TEST", "-x", "c", str(header), "-o", program]
    subprocess.run(command, check=True)
    found = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    assert found.startswith("policy: 32 rows, largest error 0.")
    text = header.read_text()
    assert text.isascii()
    assert "most 11136 bytes" in text


def test_wide_networks_compute_row_by_row(tmp_path) -> None:
    to_c(nn.MLP([4, 5000, 2]), tmp_path / "wide.h", "wide", check=False)
    text = (tmp_path / "wide.h").read_text()
    assert "wide_v_rows" not in text
    assert "wide_v_dense_row" in text
