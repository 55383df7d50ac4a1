"""The GPU benchmark, as far as it goes without a GPU: its contestants run on the CPU here."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from paths import ROOT

BENCHMARKS = Path(__file__).parent
sys.path.append(str(BENCHMARKS))

import by_torch_gpu
import gpu
import gpu_cases
import timing
import torch
from gpu_contestant import Clock, DeviceContestant
from problem import Problem, check_rate
from remote import Remote, Row
from roofline import Work, work
from timing import Case
from worker import Worker, answer

from nnpoly.backends import registry

SMALL = "2-8-2:tanh:b4"
NETWORKS = (SMALL, "16-64-64-10:relu:b32")


class HostClock(Clock):
    def event(self) -> float:
        return perf_counter()

    def elapsed(self, start: float, end: float) -> float:
        return end - start

    def wait(self) -> None:
        pass


def on_cpu(contestant: type[DeviceContestant], **attributes: Any) -> type[DeviceContestant]:
    return type("OnCpu", (contestant,), {"device": "cpu", "clock": HostClock(), **attributes})


def losses(build: type[DeviceContestant], network: str, precision: str = "fp32") -> list[float]:
    problem = Problem.parse(network)
    return build(problem, check_rate(problem), precision).losses(5)


@pytest.fixture
def by_cupy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """nnpoly's contestants, on NumPy."""
    monkeypatch.setitem(sys.modules, "cupy", ModuleType("cupy"))
    monkeypatch.delitem(sys.modules, "by_cupy", raising=False)
    module = importlib.import_module("by_cupy")
    del sys.modules["by_cupy"]  # the next one is to import CuPy, or its stand-in
    for name in ("Nnpoly", "NnpolyFit"):
        plain = on_cpu(getattr(module, name), backend="numpy", array=staticmethod(np.asarray))
        monkeypatch.setattr(module, name, plain)
    return module


# The roofline


def test_work_is_what_a_hand_counts() -> None:
    forward, dW, dX = 4 * 2 * (2 * 8 + 8 * 2), 4 * 2 * (2 * 8 + 8 * 2), 4 * 2 * (8 * 2)
    first = 9 * 2 * 8 + 9 * 8  # W and b: read; gradient written, read; Adam 3 read, 3 written
    second = 10 * 8 * 2 + 9 * 2  # W is read backward, too
    inputs, hidden, scores = 2 * 4 * 2, 4 * 4 * 8, 2 * 4 * 2
    deltas = 2 * 4 * 8 + 3 * 4 * 2  # written, read for dW; the second layer's for dX, too
    numbers = first + second + inputs + hidden + scores + deltas
    assert work([2, 8, 2], 4) == Work(flop=forward + dW + dX, bytes=4 * numbers)


def test_work_of_a_single_layer_has_no_delta_below() -> None:
    numbers = 9 * 3 * 5 + 9 * 5 + 2 * 7 * 3 + 2 * 7 * 5 + 2 * 7 * 5
    assert work([3, 5], 7) == Work(flop=2 * 2 * 7 * 3 * 5, bytes=4 * numbers)


def test_the_roofline_is_the_longer_time() -> None:
    assert Work(flop=100, bytes=10).seconds(peak=50, bandwidth=10) == 2
    assert Work(flop=100, bytes=10).seconds(peak=50, bandwidth=2) == 5


def test_the_share_is_the_rooflines_time_over_the_median() -> None:
    row = Row("torch", SMALL, samples={"us": [30.0, 10.0, 20.0]})
    flop = work([2, 8, 2], 4).flop
    assert gpu.Speeds({"fp32": flop / 5e-6}, 1e30).share(row, "fp32") == pytest.approx(0.25)
    assert gpu.Speeds({"bf16": 1.0}, 1.0).share(row, "fp32") is None


# What is compared


@pytest.mark.parametrize("network", NETWORKS)
def test_the_reference_is_nnpoly_in_float64(network: str) -> None:
    import nnpoly as nn

    problem = Problem.parse(network)
    net = nn.MLP.from_weights(
        [W.astype(float) for W in problem.weights],
        [b.astype(float) for b in problem.biases],
        activation=problem.activation,
        output="softmax",
        dtype="float64",
        backend="plain",
    )
    trainer = nn.Trainer(net, nn.Adam(check_rate(problem), eps_inside_sqrt=False))
    own = [float(trainer.step(problem.x.astype(float), problem.y)) for _ in range(5)]
    assert gpu.reference(network) == pytest.approx(own, rel=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_eager_torch_agrees(network: str, precision: str) -> None:
    found = losses(on_cpu(by_torch_gpu.Torch), network, precision)
    assert gpu.agree(found, gpu.reference(network), gpu.TOLERANCE[precision])
    exact = gpu.agree(found, gpu.reference(network), 1e-5)
    assert exact == (precision != "bf16")  # autocast is on there, and only there


@pytest.mark.parametrize("kind", ["TorchGraph", "TorchGraph8"])
def test_torch_in_a_graph_starts_from_the_first_weights(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Warm-up and capture leave no trace; here a graph is its function, called again."""
    made = []

    class Graph:
        def replay(self) -> None:
            made[-1].results.copy_(made[-1].run())

    class OnCpu(getattr(by_torch_gpu, kind)):
        device, clock, capturable = "cpu", HostClock(), False

        def warm_up(self) -> None:
            made.append(self)
            self.train(self.x, self.y)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", nullcontext)
    assert losses(OnCpu, SMALL) == pytest.approx(gpu.reference(SMALL), rel=1e-5)
    problem = Problem.parse(SMALL)
    contestant = OnCpu(problem, 1e-3, "fp32")
    contestant.steps(11)
    taken = next(iter(contestant.optimizer.state.values()))["step"]
    assert taken == {1: 11, 8: 16}[contestant.multiple]


@pytest.mark.parametrize("kind", ["Nnpoly", "NnpolyFit"])
@pytest.mark.parametrize("network", NETWORKS)
def test_nnpoly_agrees(kind: str, network: str, by_cupy: ModuleType) -> None:
    found = losses(getattr(by_cupy, kind), network)
    assert found == pytest.approx(gpu.reference(network), rel=1e-5)


def test_nnpoly_fits_as_many_steps_as_it_is_asked(by_cupy: ModuleType) -> None:
    contestant = by_cupy.NnpolyFit(Problem.parse(SMALL), 1e-6, "fp32")
    contestant.steps(600)
    assert contestant.trainer.t == 600
    assert len(contestant.trainer.history) == 3  # epochs of 256 at most
    assert "C core" in contestant.path or "operations" in contestant.path


@pytest.mark.skipif(not registry.backends()["cupy"], reason="neither CuPy nor its stand-in")
@pytest.mark.parametrize("kind", ["Nnpoly", "NnpolyFit"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_nnpoly_on_cupy_agrees(kind: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import by_cupy

    from nnpoly.backends.cupy import kernels
    from nnpoly.backends.cupy.products import ABSENT

    monkeypatch.setattr(kernels, "SMALL", 0)  # small products keep float32
    if precision != "fp32" and ABSENT:
        pytest.skip(ABSENT)
    found = losses(getattr(by_cupy, kind), NETWORKS[1], precision)
    expected = gpu.reference(NETWORKS[1])
    assert gpu.agree(found, expected, gpu.TOLERANCE[precision])
    assert gpu.agree(found, expected, 1e-5) == (precision == "fp32")
    contestant = getattr(by_cupy, kind)(Problem.parse(SMALL), 1e-6, precision)
    contestant.steps(3)
    contestant.wait()
    assert contestant.trainer.t == 3
    assert contestant.path.startswith("one CUDA graph a step")


# How it is measured


class Local(Remote):
    """A contestant in this process."""

    def __init__(self, name: str, kind: Any = None, fault: str = "") -> None:
        self.name, self.kind, self.fault = name, kind, fault
        self.versions = {} if fault else {name: "1.0"}
        self.worker = Worker(SimpleNamespace(prepare=self.made), name)

    def made(self, contestant: str, case: str, precision: str) -> Case:
        if case == gpu_cases.SPEEDS:
            return Case(peak=1e12, bandwidth=1e11)
        return gpu_cases.checked(self.kind, case, precision)

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        return answer(getattr(self.worker, do), **arguments)

    def __exit__(self, *exception: object) -> None:
        pass


class Twice(on_cpu(by_torch_gpu.Torch)):
    """Takes steps that are twice too long."""

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        super().__init__(problem, 2 * learning_rate, precision)


KINDS = {
    "torch": lambda name: Local(name, on_cpu(by_torch_gpu.Torch)),
    "torch-compile": lambda name: Local(name, Twice),
    "torch-graph": lambda name: Local(name, fault="unavailable: no torch"),
    "torch-graph-8": lambda name: Local(name, None),
}


def run(path: Path, *contestants: str, more: str = "") -> int:
    words = ["--networks", SMALL, "--precisions", "fp32", "--rounds", "2", "--json", str(path)]
    return gpu.main(
        [*words, "--contestants", *contestants, *more.split()], lambda name: KINDS[name](name)
    )


def test_a_run_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    path.write_text((ROOT / "docs" / "benchmarks" / "gpu.json").read_text())
    assert run(path, "torch", "torch-graph") == 0
    document = json.loads(path.read_text())
    assert document["status"] == "measured"
    setting = document["runs"][-1]["setting"]
    assert {"torch", "commit", "date", "rounds", "largest product, fp32"} <= setting.keys()
    assert setting["copy, read and written"] == "100 GB/s"
    row, missing = document["runs"][-1]["rows"]
    assert (row["network"], row["contestant"], row["fault"]) == (SMALL, "torch", "")
    assert len(row["us"]) == len(row["wall_us"]) == 2
    assert min(row["us"]) > 0
    assert all(us <= wall for us, wall in zip(row["us"], row["wall_us"], strict=True))
    assert row["steps"] >= gpu_cases.LEAST_STEPS
    assert 0 < row["share"] < 1
    assert missing["fault"] == "unavailable: no torch"


@pytest.mark.parametrize(
    ("contestant", "fault"), [("torch-compile", "MISMATCH"), ("torch-graph-8", "failed: TypeError")]
)
def test_what_is_wrong_is_marked(contestant: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    assert run(path, "torch", contestant) == 1
    *_, row = json.loads(path.read_text())["runs"][-1]["rows"]
    assert row["fault"].startswith(fault)


def test_nothing_starts_after_the_minutes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gpu.json"
    assert run(path, "torch", more="--minutes 0") == 0
    assert f"{SMALL} fp32: left out" in capsys.readouterr().out
    assert not path.exists()


def test_blocks_have_whole_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = on_cpu(by_torch_gpu.Torch, multiple=8)
    monkeypatch.setattr(timing, "calibrate", lambda contestant: 21)
    [row] = Local("torch", kind).prepare([SMALL], precision="fp32")
    assert row.facts["steps"] == 24


def test_a_run_replaces_what_it_measured_again() -> None:
    def made(run: int, *groups: tuple[str, str]) -> dict[str, Any]:
        rows = [{"network": network, "precision": p, "us": [run]} for network, p in groups]
        return {"setting": {"date": str(run)}, "rows": rows}

    first, second = made(1, ("a", "fp32"), ("b", "fp32")), made(2, ("b", "fp32"), ("b", "bf16"))
    document = gpu.merged(gpu.merged({"runs": []}, first), second)
    assert document["runs"] == [made(1, ("a", "fp32")), second]
    assert gpu.merged({"runs": [made(1, ("b", "bf16"))]}, second)["runs"] == [second]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--networks 2:b4", "want '64-100-10:relu:b200'"),
        ("--contestants jax", "['jax'] are not of ['nnpoly-eager'"),
        ("--precisions fp16", "invalid choice: 'fp16'"),
        ("--rounds 0", "--rounds must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.parse_arguments(words.split())
    assert told in capsys.readouterr().err


def test_without_a_gpu_it_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    words = ["--contestants", "nnpoly-graph", "torch", "--json", str(path)]
    ran = subprocess.run(
        [sys.executable, BENCHMARKS / "gpu.py", *words],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == gpu.NO_GPU, ran.stderr
    assert "needs an NVIDIA GPU" in ran.stdout
    assert "finds no CUDA device" in ran.stdout
    assert not path.exists()


def test_the_sanitizer_script_says_what_is_missing() -> None:
    script = ROOT / "tests" / "support" / "cuda" / "sanitize"
    ran = subprocess.run(
        ["bash", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "compute-sanitizer is not on PATH" in ran.stderr or "CuPy is missing" in ran.stderr


# What is written of it


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return runpy.run_path(str(BENCHMARKS / "table.py"))


def test_the_page_without_figures(table: dict[str, Any]) -> None:
    document = {"status": "not yet run on a GPU", "runs": []}
    assert "**This was not yet run on a GPU.**" in table["gpu_page"](document)[1]
    assert table["gpu_claim"](document) == "not yet run on a GPU"


def test_the_page_with_figures(table: dict[str, Any]) -> None:
    network = "784-512-512-10:relu:b128"
    row = {"network": network, "precision": "fp32", "share": 0.256, "fault": ""}
    rows = [
        row | {"contestant": "nnpoly-graph", "us": [44.0, 41.0, 45.06]},
        row | {"contestant": "torch-graph", "us": [50.0]},
        row | {"contestant": "torch", "us": [1.0], "fault": "MISMATCH"},
    ]
    document = {"status": "measured", "runs": [{"setting": {"gpu": "A GPU"}, "rows": rows}]}
    page = table["gpu_page"](document)[1]
    assert "- gpu: A GPU" in page
    assert "| 784-512-512-10 relu b128 | 41.0 / 44.0 | 50.0 / 50.0 | MISMATCH |" in page
    assert "| 784-512-512-10 relu b128 | 26 % | 26 % | - |" in page
    assert table["gpu_claim"](document).startswith(
        "a step of 784-512-512-10 relu b128 on A GPU: nnpoly-graph 44.0 us, torch-graph 50.0 us; ["
    )
    assert "torch 1.0" not in table["gpu_claim"](document)


def test_the_readmes_row_is_the_evidences(table: dict[str, Any]) -> None:
    before = "| a | b |\n| CuPy, or any GPU | old |\n| c | d |\n"
    after = "| a | b |\n| CuPy, or any GPU | new |\n| c | d |\n"
    assert table["claimed"](before, "CuPy, or any GPU", "new") == after
