"""The benchmark of more cores: its model, how it measures, and what is written of it."""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import built_core
from paths import ROOT

built_core()  # or these are skipped
BENCHMARKS = Path(__file__).parent
sys.path.append(str(BENCHMARKS))

import cores
import cores_cases
import processor
import scaling
import timing
from problem import NETWORKS
from remote import Remote
from scaling import Times, Work
from worker import Worker, answer

import nnpoly as nn

SMALL = "2-8-2:tanh:b4"
SHARED = "64-100-10:relu:b200"
TIMES = Times(alone=1e6, call=1e4, hop=100, line=10)


# The model


def test_a_step_alone_is_what_a_hand_counts() -> None:
    work, barriers = scaling.step(SMALL, 1)
    assert work.products == 4 * (2 * 8 + 8 * 2) + 4 * 8 * 2 + 4 * (8 * 2 + 2 * 8)
    forward = 2 * (8 * 8 + 2 * 4) + 8 * (8 * 2 + 2 * 4)
    assert work.packing == forward + 2 * (2 * 8 + 2 * 4) + 4 * (2 * 2 + 2 * 8) + 4 * (2 * 8 + 2 * 2)
    assert work.elements == 2 * scaling.SIGMA["tanh"] * 4 * 8 + scaling.LOSS * 4 * 2
    assert work.updates == scaling.ADAM * 2 * 16
    assert work.lines == 0
    assert barriers == []


@pytest.mark.parametrize("network", NETWORKS)
def test_a_step_alone_takes_what_was_measured(network: str) -> None:
    assert TIMES.step(network, 1) == pytest.approx(TIMES.alone)
    assert TIMES.speedup(network, 1) == (pytest.approx(1), 1)
    assert sum(scaling.shares(network, TIMES).values()) == pytest.approx(1)


@pytest.mark.parametrize("network", NETWORKS)
def test_more_threads_are_never_slower_nor_faster_than_they_are_many(network: str) -> None:
    speedups = [TIMES.speedup(network, count) for count in cores.MODELLED]
    assert speedups == sorted(speedups)
    for (speedup, by), most in zip(speedups, cores.MODELLED, strict=True):
        assert 1 <= speedup <= by <= most
    dear = Times(TIMES.alone, TIMES.call, hop=1e9, line=10)
    assert dear.speedup(network, 64) == (pytest.approx(1), 1)


def test_a_barrier_is_a_tree() -> None:
    assert TIMES.barrier(1) == 0
    assert TIMES.barrier(2) == 2 * TIMES.hop
    assert TIMES.barrier(5) == 2 * 4 * TIMES.hop
    assert TIMES.barrier(64) == 2 * (4 + 4 + 3) * TIMES.hop
    assert scaling.wake_up(2, 5, 40) == 40
    assert scaling.wake_up(64, 5, 40) == (4 * 5 + 35) + (4 * 5 + 35) + (3 * 5 + 35)


def test_a_part_is_one_of_the_best_grid() -> None:
    assert scaling.largest(64, 512, 10, 1, 2).products == 64 * 512 * 10
    assert scaling.largest(64, 512, 10, 16, 2).products == 64 * 512 * 10 / 16
    assert scaling.largest(64, 512, 10, 7, 2).products < 64 * 512 * 10 / 5
    assert scaling.others(32, 2) == 2 * 32 / 16 / 2


@pytest.mark.parametrize("name", ["FAN_OUT", "PART_PRODUCT", "PART_STEP", "PART_ELEMENTS"])
def test_constants_are_the_cores(name: str) -> None:
    assert scaling.constant(name) > 1
    with pytest.raises(ValueError, match="no constant NOT_THERE"):
        scaling.constant("NOT_THERE")


def test_numbers_of_threads() -> None:
    assert scaling.counts(1) == [1]
    assert scaling.counts(2) == [1, 2]
    assert scaling.counts(24) == [1, 2, 4, 8, 16, 24]


# How it is measured


class Local(Remote):
    """A number of threads in this process; some losses are wrong by a bit."""

    def __init__(self, threads: int, wrong: bool = False, fault: str = "") -> None:
        self.name, self.threads, self.wrong, self.fault = str(threads), threads, wrong, fault
        self.versions = {"nnpoly": "1.0"}
        self.worker = Worker(self, self.name)

    def prepare_case(self, case: str) -> timing.Case:
        made = cores_cases.prepare(self.name, case)
        made.facts["losses"][-1] += self.wrong
        return made

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        nn.set_num_threads(self.threads)
        self.worker.module = type("", (), {"prepare": lambda _, case: self.prepare_case(case)})
        return answer(getattr(self.worker, do), **arguments)

    def __exit__(self, *exception: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    yield
    nn.set_num_threads(2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short blocks, and costs that nobody measured."""
    monkeypatch.setattr(timing, "BLOCK_S", 0.002)
    costs = {"awake": [50.0], "asleep": [9e3], "waking": [10.0], "line": [1.0]}
    more = {"awake": [350.0], "asleep": [4e4], "waking": [5e3], "line": [11.0]}
    monkeypatch.setattr(processor, "barrier", lambda threads: costs if threads == 1 else more)
    monkeypatch.setattr(processor, "peak", lambda threads: None)


def run(path: Path, *networks: str, more: str = "", **wrong: Any) -> int:
    words = ["--threads", "1", "3", "--rounds", "2", "--json", str(path), "--networks", *networks]
    return cores.main([*words, *more.split()], lambda n: Local(n, **(wrong if n == 3 else {})))


@pytest.mark.usefixtures("quick")
def test_a_run_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cores.json"
    assert run(path, SMALL) == 0
    assert run(path, SHARED) == 0
    document = json.loads(path.read_text())
    assert [(r["network"], r["threads"]) for r in document["rows"]] == [
        *((SMALL, 1), (SMALL, 3)),
        *((SHARED, 1), (SHARED, 3)),
    ]
    assert all(len(row["us"]) == 2 and min(row["us"]) > 0 for row in document["rows"])
    assert document["rows"][1]["shared_by"] == [1, 1]
    assert set(document["rows"][3]["shared_by"]) <= {1, 2, 3}
    assert [row["threads"] for row in document["barriers"]] == [1, 3]
    of_shared = document["predicted"]["networks"][1]
    assert of_shared["network"] == SHARED
    assert of_shared["speedups"]["1"] == pytest.approx([1, 1])
    assert document["predicted"]["barrier"]["2"] == 300
    assert "shared by predicted" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("wrong", "fault"), [({"wrong": True}, "MISMATCH"), ({"fault": "failed: a worker"}, "failed")]
)
def test_what_is_wrong_is_marked(wrong: dict[str, Any], fault: str, tmp_path: Path) -> None:
    path = tmp_path / "cores.json"
    assert run(path, SMALL, **wrong) == 1
    alone, other = json.loads(path.read_text())["rows"]
    assert alone["fault"] == ""
    assert other["fault"].startswith(fault)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--networks 2:b4", "want '64-100-10:relu:b200'"),
        ("--threads 0", "--threads must be from 1 to 256, got [0]"),
        ("--rounds 0", "--rounds must be at least 1, got 0"),
    ],
)
def test_wrong_arguments(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cores.main(words.split())
    assert told in capsys.readouterr().err


def test_a_barrier_is_measured() -> None:
    found = processor.barrier(2)
    if found is None:
        pytest.skip("no C compiler")
    assert set(found) == set(cores.COSTS)
    assert all(min(samples) > 0 for samples in found.values())


def test_without_a_compiler_no_barrier_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(processor.shutil, "which", lambda name: None)
    assert processor.barrier(2) is None
    assert cores.barriers([1, 2]) == []


# What is written of it


def test_the_pages_tables() -> None:
    table = runpy.run_path(str(BENCHMARKS / "table.py"))
    document = json.loads((ROOT / "docs/benchmarks/cores/intel-xeon.json").read_text())
    measured = dict.fromkeys(row["network"] for row in document["rows"])
    assert [row["network"] for row in document["predicted"]["networks"]] == list(measured)
    rows = [
        {"threads": 1, "us": [90.0, 100.0, 110.0], "shared_by": [1, 1, 1]},
        {"threads": 4, "us": [30.0, 40.0, 50.0], "shared_by": [2, 4, 4]},
    ]
    text = table["cores_table"]([row | {"network": SHARED, "load": 1.31} for row in rows])
    assert "| 64-100-10 relu b200 | 100 | 40 | 2.50 | 4 | 1.3 |" in text
    model = {
        "barrier": {"1": 0, "2": 290.4, "4": 870},
        "wake": {"1": 0, "2": 40e3, "4": 50e3},
        "networks": [{"network": SHARED, "speedups": {"1": [1, 1], "2": [1.51, 2], "4": [2, 4]}}],
    }
    text = table["speedup_table"](model)
    assert "| 64-100-10 relu b200 | 1.5 (2) | 2.0 (4) |" in text
    assert "| a barrier, ns | 290 | 870 |\n| of threads that sleep, ns | 40,000 | 50,000 |" in text
    costs = {"threads": 2, "awake": [300.4], "asleep": [4e4], "waking": [5e3], "line": [11.04]}
    line = "| 2 | 300 | 40,000 | 5,000 | 11.0 |"
    assert line in table["barrier_table"]({"barriers": [costs]})
    shares = {"products": 0.5, "packing": 0.1, "elements": 0.1, "updates": 0.1, "call": 0.2}
    told = table["share_table"]([{"network": SHARED, "shares": shares}])
    assert "| 64-100-10 relu b200 | 50.0 % | 10.0 % | 10.0 % | 10.0 % | 20.0 % |" in told


def test_the_work_of_threads_adds_up() -> None:
    assert Work(1, 2, 3, 4, 5) + Work(1, 1, 1, 1, 1) == Work(2, 3, 4, 5, 6)
    assert Work(1, 2, 3, 4, 5).total == 10
