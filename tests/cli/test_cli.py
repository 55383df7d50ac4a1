"""The command line: what it prints and writes, and what it says about mistakes."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import status_of
from PIL import Image

import nnpoly as nn
from nnpoly import cli, testing
from nnpoly.backends import registry
from nnpoly.cli import common, digits, measure
from nnpoly.plotting import BLUE, VERMILION, loss_figure

SCRIPT = Path(sysconfig.get_path("scripts")) / "nnpoly"
BACKENDS = ["numpy", "torch", "jax"]
COMMANDS = ["train", "predict", "evaluate", "summary", "parity", "bench", "info"]
FILES = {digits.MODEL, digits.LOSSES, digits.PICTURE}
# In units of eps, between loss curves of seed 0. Training amplifies rounding errors, most of all
# where one makes a relu's input change its sign: float32's curves lie 1.2e3 eps from float64's.
# Wrong formulas lie farther than 2e4 eps, 2e-3, in float32 already: eps outside Adam's root
# instead of inside 6e-2.
CURVE_BOUND = 2e4


def run(*command: Any, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, on one thread."""
    env = {k: v for k, v in os.environ.items() if k != "JAX_ENABLE_X64"}
    env |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


# train


@dataclass(frozen=True)
class Trained:
    """What `nnpoly train digits` left."""

    folder: Path
    report: dict[str, Any]
    printed: str


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train with the defaults, once for each backend and dtype that is asked for."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tests already share the cores
    results: dict[tuple[str, str], Trained] = {}

    def train(backend: str, dtype: str = "float32") -> Trained:
        if (backend, dtype) not in results:
            folder = tmp_path_factory.mktemp("digits") / "out"
            where = ["--backend", backend, "--dtype", dtype, "--output", str(folder)]
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                assert cli.main(["train", "digits", "--quiet", *where]) == 0
            report = json.loads((folder / digits.LOSSES).read_text())
            results[backend, dtype] = Trained(folder, report, printed.getvalue())
        return results[backend, dtype]

    yield train
    torch.set_num_threads(threads)


@pytest.mark.parametrize("backend", BACKENDS)
def test_train_reads_more_than_97_percent_of_the_digits(trained, backend):
    run = trained(backend)
    assert run.report["test_accuracy"] > 0.97
    assert run.report["train_accuracy"] > 0.995
    assert f"test accuracy   {100 * run.report['test_accuracy']:6.2f} %" in run.printed
    assert f"float32 on {backend}" in run.printed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("backend", BACKENDS[1:])
def test_loss_curves_agree(trained, backend, dtype):
    expected, found = trained("numpy", dtype).report, trained(backend, dtype).report
    for curve in ("train_loss", "test_loss"):
        bound = CURVE_BOUND * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(found[curve], expected[curve], rtol=bound)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_saved_network_is_the_trained_one(trained, backend):
    run = trained(backend)
    assert {path.name for path in run.folder.iterdir()} == FILES
    net = nn.load(run.folder / digits.MODEL, backend=backend)
    _, X_test, _, y_test = digits.split_digits()
    right = registry.to_host(net(X_test)).argmax(axis=1) == y_test
    assert right.mean() == run.report["test_accuracy"]
    assert repr(net) == run.report["network"]


def test_the_picture_shows_both_curves(trained):
    with Image.open(trained("numpy").folder / digits.PICTURE) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    assert pixels.shape == (630, 960, 3)
    for colour in (BLUE, VERMILION):
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (abs(pixels - rgb).max(axis=2) < 8).sum() > 500


def test_train_shows_progress_unless_quiet(capsys, tmp_path):
    arguments = ["train", "digits", "--epochs", "2", "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert "2/2" in capsys.readouterr().err
    assert cli.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_train_replaces_its_own_files_and_leaves_others(tmp_path):
    (tmp_path / digits.MODEL).write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ["--epochs", "1", "--widths", "8,8", "--quiet", "--output", str(tmp_path)]
    assert cli.main(["train", "digits", *arguments]) == 0
    assert nn.load(tmp_path / digits.MODEL, backend="numpy").widths == [64, 8, 8, 10]
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == FILES | {"notes.txt"}


def test_train_uses_the_backend_of_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NNPOLY_BACKEND", "torch")
    arguments = ["--epochs", "1", "--quiet", "--output", str(tmp_path / "out")]
    assert cli.main(["train", "digits", *arguments]) == 0
    assert "on torch" in capsys.readouterr().out


# The picture


def test_figure_has_labels_and_a_logarithmic_axis():
    figure = loss_figure(nn.History([1.0, 0.1], [0.5, 0.2]), "Digits", "cross-entropy (nats)")
    (axes,) = figure.axes
    assert (axes.get_title(), axes.get_xlabel()) == ("Digits", "epoch")
    assert (axes.get_ylabel(), axes.get_yscale()) == ("cross-entropy (nats)", "log")
    assert [text.get_text()[:5] for text in axes.get_legend().get_texts()] == ["train", "valid"]
    train, test = axes.lines
    assert train.get_xydata().tolist() == [[0.5, 1.0], [1.5, 0.1]]
    assert test.get_xydata().tolist() == [[1.0, 0.5], [2.0, 0.2]]


def test_figure_of_a_loss_of_zero_is_linear():
    (axes,) = loss_figure(nn.History([0.5, 0.0])).axes
    assert axes.get_yscale() == "linear"
    assert len(axes.lines) == 1


def test_figure_leaves_pyplot_alone():
    code = "import sys, nnpoly.plotting; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


# Mistakes


@pytest.fixture
def no_work(forbid):
    """Fail where work begins."""
    forbid(nn.Trainer, "step", "fit")
    forbid(testing, "parity_report")


WRONG = [
    ("train", "the following arguments are required"),
    ("train mnist", "digits"),
    ("train digits --backend abacus", "`backend` must be one of"),
    ("train digits --backend broken", "'broken' is not available: pip install broken"),
    ("train digits --backend numpy --device gpu", "'gpu'"),
    ("train digits --backend torch --device cuda:99", "'cuda:99' cannot be used"),
    ("train digits --backend torch --device toaster", "'toaster' cannot be used"),
    ("train digits --backend jax --device tpu:7", "'tpu:7'"),
    ("train digits --epochs 0", "--epochs: must be an integer >= 1, got '0'"),
    ("train digits --epochs many", "--epochs: must be an integer >= 1, got 'many'"),
    ("train digits --batch-size -3", "--batch-size"),
    (f"train digits --batch-size {10**18}", "must be an integer >= 1 and < 1e+18, got"),
    (f"train digits --epochs {'9' * 5000}", "must be an integer >= 1, got '999"),
    ("train digits --widths 100,", "--widths: must be an integer >= 1, got ''"),
    ("train digits --widths 0", "--widths"),
    ("train digits --learning-rate 0", "--learning-rate: must be a number > 0, got '0'"),
    ("train digits --learning-rate nan", "--learning-rate"),
    ("train digits --learning-rate inf", "--learning-rate"),
    ("train digits --seed -1", "--seed: must be an integer >= 0"),
    ("train digits --dtype int8", "--dtype: must be float32 or float64, got 'int8'"),
    ("train digits --widths 1000000000000", "allocate"),
    ("train digits --output a_file", "a_file cannot be written to: it is a file"),
    ("train digits --output a_file/out", "a_file/out cannot be written to"),
    ("train digits --output missing/out", "the folder that it should be in is missing"),
    (f"train digits --output {'x' * 300}", "File name too long"),
    ("parity --backends numpy,abacus", "got 'abacus'"),
    ("parity --backends broken", "'broken' is not available: pip install broken"),
    ("parity --dtypes float32,int8", "--dtypes"),
    ("parity --steps 0", "--steps"),
    ("bench --backends abacus", "got 'abacus'"),
    ("bench --device cpu", "--device needs the one backend whose it is"),
    ("bench --backends torch,jax --device cpu", "--device needs the one backend whose it is"),
    ("bench --backends torch --device abacus", "`device` 'abacus' cannot be used"),
    ("bench --seconds-per-network 0", "--seconds-per-network"),
    ("bench --seconds-per-network soon", "--seconds-per-network"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[a[:60] for a, _ in WRONG])
def test_mistakes_get_one_line_before_any_work(
    arguments, message, no_work, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(registry._FACTORIES, "broken", _broken)
    Path("a_file").touch()
    assert status_of(*arguments.split()) == 2
    printed = capsys.readouterr()
    assert re.fullmatch(rf"nnpoly {arguments.split()[0]}: [^\n]+\n", printed.err)
    assert message in printed.err
    assert printed.out == ""
    assert os.listdir() == ["a_file"]


def _broken() -> Any:
    raise ImportError("pip install broken")


@pytest.mark.parametrize("arguments", ["cook", "--cook"])
def test_unknown_commands_get_one_line(arguments, capsys):
    assert status_of(arguments) == 2
    assert re.fullmatch(r"nnpoly: [^\n]+\n", capsys.readouterr().err)


def test_a_wrong_environment_is_named(no_work, monkeypatch, capsys):
    monkeypatch.setenv("NNPOLY_BACKEND", "abacus")
    assert status_of("train", "digits") == 2
    assert "NNPOLY_BACKEND: must be one of" in capsys.readouterr().err


@pytest.mark.parametrize("package", digits.PACKAGES)
def test_a_missing_package_is_named_with_the_remedy(package, no_work, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, package, None)
    assert status_of("train", "digits") == 2
    line = f"nnpoly train: {package} not installed: pip install nnpoly[cli]\n"
    assert capsys.readouterr().err == line


def test_an_unwritable_folder_is_refused(no_work, monkeypatch, tmp_path, capsys):
    def refuse(**kwargs: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(common, "TemporaryFile", refuse)  # root may write wherever it likes
    assert status_of("train", "digits", "--output", str(tmp_path)) == 2
    assert "cannot be written to: Permission denied" in capsys.readouterr().err


# What goes wrong later


@pytest.fixture
def old_results(tmp_path):
    """A folder with an old model in it."""
    (tmp_path / digits.MODEL).write_text("old")
    return tmp_path


def _assert_untouched(folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == [digits.MODEL]
    assert (folder / digits.MODEL).read_text() == "old"


def test_divergence_is_one_line_and_writes_nothing(old_results, capsys):
    arguments = ["--learning-rate", "1e30", "--quiet", "--backend", "numpy"]
    assert status_of("train", "digits", *arguments, "--output", str(old_results)) == 1
    message = capsys.readouterr().err
    assert re.fullmatch(
        r"nnpoly train: the loss became [^\n]+ smaller learning rate[^\n]+\n", message
    )
    _assert_untouched(old_results)


def test_a_full_disk_is_one_line_and_writes_nothing(old_results, monkeypatch, capsys):
    def save(self: Any, path: Path) -> None:
        path.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(nn.Network, "save", save)
    arguments = ["--epochs", "1", "--quiet", "--output", str(old_results)]
    assert status_of("train", "digits", *arguments) == 1
    assert re.fullmatch(r"nnpoly train: .*No space left on device\n", capsys.readouterr().err)
    _assert_untouched(old_results)


def _interrupt(*args: Any, **kwargs: Any) -> None:
    raise KeyboardInterrupt


def test_interrupted_training_leaves_old_files_alone(old_results, monkeypatch, capsys):
    monkeypatch.setattr(nn.Trainer, "fit", _interrupt)
    assert status_of("train", "digits", "--output", str(old_results)) == 130
    assert capsys.readouterr().err == "nnpoly train: interrupted\n"
    _assert_untouched(old_results)


@pytest.mark.parametrize("command", ["bench", "parity"])
def test_interrupted_measuring(command, monkeypatch, capsys):
    monkeypatch.setattr(nn.Trainer, "step", _interrupt)
    assert status_of(command, "--backends", "numpy") == 130
    assert capsys.readouterr().err == f"nnpoly {command}: interrupted\n"


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_ends_a_training_process(tmp_path):
    # The handler is set, since a process that is started in the background may ignore SIGINT.
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from nnpoly.cli import main; sys.exit(main())"
    )
    arguments = ["train", "digits", "--epochs", "1000000", "--output", str(tmp_path / "out")]
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        seen = b""
        while b"loss " not in seen:
            seen += (part := os.read(process.stderr.fileno(), 4096))
            assert part, seen
        process.send_signal(signal.SIGINT)
        seen += process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert seen.splitlines()[-1] == b"nnpoly train: interrupted"
    assert b"Traceback" not in seen
    assert os.listdir(tmp_path) == []


# parity


@dataclass(frozen=True)
class Report:
    """A parity report as `nnpoly.testing` makes them."""

    rows: list[testing.Row]


def _fake_report(units: float) -> Any:
    def report(backends: list[str], dtypes: list[str], steps: int) -> Report:
        assert steps == 3
        (backend,), (dtype,) = backends, dtypes
        wrong = units if (backend, dtype) == ("torch", "float64") else 0.5
        fine = testing.Row(backend, dtype, "softmax", 0.25, True, "y[0] is 1, should be 1")
        detail = "W[0, 1] is 1, should be 2"
        return Report([fine, testing.Row(backend, dtype, "dense", wrong, wrong <= 1.0, detail)])

    return report


def test_parity_prints_a_table_for_each_backend_and_dtype(monkeypatch, capsys):
    monkeypatch.setattr(testing, "parity_report", _fake_report(0.9))
    assert cli.main(["parity", "--backends", "numpy,torch,numpy", "--steps", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split()[:2] for line in lines if not line.startswith(" ")]
    assert heads == [[b, d] for b in ("numpy", "torch") for d in ("float32", "float64")]
    assert lines[1].split() == ["softmax", "0.250"]
    assert lines[-1].split() == ["dense", "0.900"]


def test_parity_names_a_breach_and_exits_with_1(monkeypatch, capsys):
    monkeypatch.setattr(testing, "parity_report", _fake_report(7.0))
    assert cli.main(["parity", "--backends", "numpy,torch", "--steps", "3"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].split() == ["dense", "7.000", "BREACH"]
    assert printed.out.count("BREACH") == 1
    assert printed.err == "nnpoly parity: torch float64, dense: W[0, 1] is 1, should be 2\n"


def test_parity_of_numpy_holds(capsys):
    assert cli.main(["parity", "--backends", "numpy", "--dtypes", "float64", "--steps", "2"]) == 0
    assert "dense_delta" in capsys.readouterr().out


# bench


TINY = (measure.Problem((2, 3, 2), "tanh", 4), measure.Problem((3, 4, 2), "relu", 8))


def _times(printed: str) -> list[tuple[str, str, float, float]]:
    pattern = r"^(.+?) +(numpy|torch|jax) +([\d.]+) +([\d.]+)$"
    found = re.findall(pattern, printed.split("\n\n")[1], re.MULTILINE)
    return [(network, backend, float(low), float(mid)) for network, backend, low, mid in found]


def test_bench_times_every_network_on_every_backend(monkeypatch, capsys):
    monkeypatch.setattr(measure, "PROBLEMS", TINY[:1])
    monkeypatch.setattr(measure, "LARGE_PROBLEMS", TINY[1:])
    arguments = ["bench", "--backends", ",".join(BACKENDS), "--seconds-per-network", "0.01"]
    assert cli.main(arguments) == 0
    small = _times(capsys.readouterr().out)
    assert cli.main([*arguments, "--large"]) == 0
    both = _times(capsys.readouterr().out)
    assert [row[:2] for row in small] == [("2-3-2 tanh b4", b) for b in BACKENDS]
    assert [row[:2] for row in both] == [(str(p), b) for p in TINY for b in BACKENDS]
    assert all(1.0 < low <= middle < 1e6 for _, _, low, middle in small + both)


def test_bench_runs_on_the_device_it_is_told(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(measure, "PROBLEMS", TINY[:1])
    monkeypatch.setattr(measure, "sample_in_rounds", lambda timings, _: seen.extend(timings))
    arguments = ["bench", "--backends", "strict", "--device", "device1"]
    monkeypatch.setattr(measure.Timing, "calibrate", lambda run: run.times.append(1.0))
    assert cli.main(arguments) == 0
    device = registry.get("strict").device("device1")
    assert [run.trainer.network.place.device for run in seen] == [device]
    assert {array.device for run in seen for array in run.batch} == {device}


@pytest.mark.parametrize(("seconds", "rounds"), [(0.001, measure.MIN_ROUNDS), (20.0, 10)])
def test_bench_measures_round_by_round_until_the_time_is_up(seconds, rounds, monkeypatch):
    order = []

    class Run:
        def sample(self) -> None:
            order.append(self)

    runs = [Run(), Run()]
    monkeypatch.setattr(measure, "perf_counter", lambda: float(len(order)))  # a second a sample
    measure.sample_in_rounds(runs, seconds)
    assert len(order) == 2 * rounds
    assert all(set(order[i : i + 2]) == set(runs) for i in range(0, len(order), 2))


def test_bench_trains_the_networks_it_names():
    names = [str(problem) for problem in measure.PROBLEMS + measure.LARGE_PROBLEMS]
    assert names == [
        "2-8-2 tanh b4",
        "17-64-64-6 tanh b64",
        "64-100-10 relu b200",
        "128-256-256-128-2 relu b1024",
        "784-512-512-10 relu b128",
        "784-1024-1024-10 gelu b512",
        "1024-4096-4096-1024 relu b1024",
    ]
    run = measure.Timing(measure.PROBLEMS[0], registry.get("numpy"))
    assert run.trainer.network.widths == [2, 8, 2]
    assert run.trainer.network.dtype == "float32"
    assert run.trainer.optimizer == nn.Adam(1e-6)
    assert [a.shape for a in run.batch] == [(4, 2), (4,)]


# The rest


def test_without_arguments_it_prints_help(capsys):
    assert cli.main([]) == 0
    printed = capsys.readouterr().out
    assert all(command in printed for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    assert status_of(command, "--help") == 0
    assert f"usage: nnpoly {command}" in capsys.readouterr().out


def test_version(capsys):
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"nnpoly {nn.__version__}\n"


def test_info_prints_show_config(capsys):
    nn.show_config()
    expected = capsys.readouterr().out
    assert cli.main(["info"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    "arguments",
    [
        "train digits --epochs 1 --quiet",
        "train digits --epochs 1 --quiet --backend jax --dtype float64",
        "parity --backends numpy --dtypes float32 --steps 1",
        "bench --backends numpy --seconds-per-network 0.01",
        "info",
    ],
)
def test_the_installed_script(arguments, tmp_path):
    result = run(SCRIPT, *arguments.split(), folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "numpy" in result.stdout or "jax" in result.stdout
    if "train" in arguments:
        assert {path.name for path in (tmp_path / "nnpoly-digits").iterdir()} == FILES


def test_python_m_nnpoly(tmp_path):
    command = [sys.executable, "-m", "nnpoly", "train", "digits", "--epochs", "0"]
    result = run(*command, folder=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("nnpoly train: ")
