"""The C core in a process: its threads, fork, signals, and the environment that configures it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import built_core

import nnpoly as nn
from nnpoly.backends import get, threads

core = built_core()
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

LARGE = """
import os, time
import numpy as np, nnpoly as nn
from nnpoly.backends import get, threads
rng = np.random.default_rng(0)
x, W, b = rng.random((300, 400)), rng.random((500, 400)), rng.random(500)
def large():
    return get("numpy").ops.dense(x, W, b, nn.activations.tanh)[1]
def threads():
    return len(os.listdir("/proc/self/task"))
"""


def run(code: str, **environment: str) -> str:
    """Run Python code in a new process and return what it prints."""
    quiet = {"OPENBLAS_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **quiet},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Threads


@linux
def test_threads_start_with_the_first_large_computation():
    code = LARGE + (
        "nn.set_num_threads(2); nn.MLP([2, 3, 2])(np.ones((4, 2)))\n"
        "print(threads()); large(); print(threads())"
    )
    assert run(code).split() == ["1", "2"]


@linux
def test_an_idle_pool_uses_no_cpu():
    code = LARGE + (
        "nn.set_num_threads(2); large()\n"
        "time.sleep(0.001); before = time.process_time(); time.sleep(0.3)\n"
        "print(time.process_time() - before)"
    )
    assert float(run(code)) < 0.005


def together(work: Callable[[int], np.ndarray], count: int) -> list[np.ndarray]:
    """Run `work` in so many Python threads that start at once."""
    gate = threading.Barrier(count)

    def wait_and_work(number: int) -> np.ndarray:
        gate.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(wait_and_work, range(count)))


def test_many_python_threads_at_once():
    """Results are those of one thread alone, whoever got the workers."""
    rng = np.random.default_rng(1)
    inputs = [rng.random((200 + number, 300)) for number in range(8)]
    W, b = rng.random((400, 300)), rng.random(400)
    ops = get("numpy").ops

    def work(number: int) -> np.ndarray:
        for _ in range(20):
            _, post = ops.dense(inputs[number], W, b, nn.activations.gelu)
            f = ops.softmax(post)
        return f

    alone = [work(number) for number in range(8)]
    for got, want in zip(together(work, 8), alone, strict=True):
        assert np.array_equal(got, want)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork():
    """A child has no workers, starts its own, and computes the same; so does its parent."""
    code = LARGE + (
        "nn.set_num_threads(2); before = large()\n"
        "child = os.fork()\n"
        "same = np.array_equal(before, large()) and threads() == 2\n"
        "if child == 0: os._exit(0 if same else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), same)"
    )
    assert run(code) == "0 True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_while_another_thread_computes():
    code = LARGE + (
        "import threading, warnings; warnings.simplefilter('ignore')\n"
        "nn.set_num_threads(2); before = large(); stop = threading.Event()\n"
        "def busy():\n"
        "    while not stop.is_set(): large()\n"
        "other = threading.Thread(target=busy); other.start(); codes = []\n"
        "for _ in range(20):\n"
        "    child = os.fork()\n"
        "    if child == 0: os._exit(0 if np.array_equal(before, large()) else 1)\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "stop.set(); other.join(); print(codes.count(0))"
    )
    assert run(code) == "20"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_before_the_first_thread_starts():
    """Children are made while other threads hold the core's locks, if only for a moment."""
    code = (
        "import os, signal, sys, threading, warnings; warnings.simplefilter('ignore')\n"
        "import numpy as np\n"
        "from nnpoly._core import ffi, lib\n"
        "def small():\n"
        "    places = [ffi.from_buffer(np.ones((1, 4))) for _ in range(2)]\n"
        "    return lambda: lib.nnpoly_softmax(lib.NNPOLY_FLOAT64, *places, 1, 4)\n"
        "def busy():\n"
        "    call = small()\n"
        "    while not stop.is_set(): call()\n"
        "sys.setswitchinterval(1e-5); call, stop, codes = small(), threading.Event(), []\n"
        "others = [threading.Thread(target=busy) for _ in range(3)]\n"
        "for other in others: other.start()\n"
        "while len(codes) < 200 and not any(codes):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        signal.alarm(30); os._exit(call())\n"
        "    codes.append(os.waitpid(child, 0)[1])\n"
        "stop.set()\n"
        "for other in others: other.join()\n"
        "print(codes.count(0), lib.nnpoly_workers())"
    )
    assert run(code) == "200 0"


def test_more_threads_than_processors():
    """Predictions, products and steps of every size end, with the bits of one thread."""
    code = (
        "import hashlib, numpy as np, nnpoly as nn\n"
        "rng = np.random.default_rng(0); found = hashlib.sha256()\n"
        "sizes = [([17, 64, 6], 64), ([64, 100, 10], 200), ([70, 300, 300, 10], 150)]\n"
        "for widths, batch in sizes:\n"
        "    X, y = rng.random((4 * batch, widths[0]), 'f4'), np.arange(4 * batch) % widths[-1]\n"
        "    trainer = nn.Trainer(nn.MLP(widths, 'tanh', seed=0), nn.Adam(clip_norm=0.1))\n"
        "    trainer.fit(X, y, epochs=15, batch_size=batch); trainer.step(X[:50], y[:50])\n"
        "    wide = np.tile(X, (20, 1)); f = trainer.network(wide)\n"
        "    for bits in (trainer.network.w, f, trainer.network.gradients(X, y)[1].flat):\n"
        "        found.update(np.asarray(bits).tobytes())\n"
        "print(found.hexdigest())"
    )
    assert run(code, NNPOLY_NUM_THREADS="16") == run(code, NNPOLY_NUM_THREADS="1")


def test_interrupt():
    """Ctrl-C ends a computation in Python, and the next one is right."""
    code = LARGE + (
        "import sys\n"
        "nn.set_num_threads(2); before = large()\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    while True: large()\n"
        "except KeyboardInterrupt:\n"
        "    print(np.array_equal(before, large()))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (out, err) == ("True\n", "")


# The environment and set_num_threads

SHOW = "import nnpoly as nn; nn.show_config()"


def core_row(**environment: str) -> str:
    lines = run(SHOW, **environment).splitlines()
    return next(line for line in lines if line.startswith("C core")).removeprefix("C core").strip()


@pytest.mark.parametrize("isa", core.isas())
def test_isa_is_forced(isa):
    assert core_row(NNPOLY_ISA=isa, NNPOLY_NUM_THREADS="1").startswith(f"{isa}, 1 thread, ")


def test_core_is_switched_off():
    assert core_row(NNPOLY_ISA="none") == "none: NNPOLY_ISA is none"
    code = (
        "import sys, numpy as np, nnpoly as nn; net = nn.MLP([2, 3, 2]); net(np.ones((4, 2)));"
        "nn.set_num_threads(2); print('nnpoly._core' in sys.modules)"
    )
    assert run(code, NNPOLY_ISA="none") == "False"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("NNPOLY_ISA", "sse9", "must be none or one that runs here: "),
        ("NNPOLY_BF16", "sse9", "must be one that runs here: "),
        ("NNPOLY_NUM_THREADS", "two", "must be an integer from 1 to 256, got 'two'"),
        ("NNPOLY_NUM_THREADS", "0", "must be an integer from 1 to 256, got '0'"),
        ("NNPOLY_NUM_THREADS", "257", "must be an integer from 1 to 256, got '257'"),
    ],
)
def test_bad_environment(variable, value, message):
    code = "import nnpoly as nn\ntry: nn.MLP([2, 3, 2])\nexcept ImportError as error: print(error)"
    answer = run(code, **{variable: value})
    assert f"{variable}: {message}" in answer


def test_number_of_threads_is_shown():
    assert ", 3 threads, compiled by " in core_row(NNPOLY_NUM_THREADS="3")
    assert run(
        "import nnpoly as nn; nn.set_num_threads(4); from nnpoly.backends import info\n"
        "print(info.config()['C core'].split(', ')[1])"
    ) == "4 threads"  # fmt: skip


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", None, True, 257])
def test_bad_number_of_threads(count):
    before = core.lib.nnpoly_num_threads()
    with pytest.raises(ValueError, match=r"set_num_threads: `count` must be"):
        nn.set_num_threads(count)
    assert core.lib.nnpoly_num_threads() == before


@linux
def test_affinity_limits_the_default():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from nnpoly.backends import threads; print(threads.default())"
    )
    assert run(code, NNPOLY_NUM_THREADS="", OMP_NUM_THREADS="") == "1"


@pytest.mark.parametrize(
    ("openmp", "own", "count"),
    [
        ("1", "", 1),
        ("3,2", "", 3),  # of the outermost region, and of those in it
        ("99", "", 4),  # there are four CPUs
        *((nonsense, "", 4) for nonsense in ("", "0", "-1", "many", ",", "1.5")),
        ("1", "3", 3),
    ],
)
def test_openmps_variable_limits_the_default(openmp, own, count, monkeypatch):
    monkeypatch.setattr(threads, "available_cpus", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    monkeypatch.setenv("NNPOLY_NUM_THREADS", own)
    assert threads.default() == count


@linux
def test_threadpoolctl_limits_the_threads():
    """The pool starts no worker under its limit, and as many as before after it."""
    code = LARGE + (
        "import nnpoly.estimators, threadpoolctl; nn.set_num_threads(2)\n"
        "found = [i for i in threadpoolctl.threadpool_info() if i['user_api'] == 'nnpoly']\n"
        "before = threads()\n"
        "with threadpoolctl.threadpool_limits(1): large(); inside = threads()\n"
        "large(); print(len(found), found[0]['num_threads'], inside - before, threads() - before)"
    )
    assert run(code) == "1 2 0 1"


def control_group(root: Path, lines: str, files: dict[str, str]) -> list[float]:
    for name, text in {"proc/self/cgroup": lines, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return list(threads.quotas(root))


def test_control_groups(tmp_path):
    top = "sys/fs/cgroup"
    nested = {f"{top}/a/b/cpu.max": "max 100000", f"{top}/a/cpu.max": "150000 100000"}
    assert control_group(tmp_path / "v2", "0::/a/b\n", nested) == [1.5]
    first = f"{top}/cpu,cpuacct/job"
    files = {f"{first}/cpu.cfs_quota_us": "400000", f"{first}/cpu.cfs_period_us": "100000"}
    assert control_group(tmp_path / "v1", "3:cpu,cpuacct:/job\n2:memory:/\n", files) == [4.0]
    free = {f"{first}/cpu.cfs_quota_us": "-1"}
    assert control_group(tmp_path / "free", "3:cpu,cpuacct:/job\n", free) == []
    assert control_group(tmp_path / "odd", "0::/\n", {f"{top}/cpu.max": "nonsense"}) == []
    assert list(threads.quotas(tmp_path / "none")) == []


def test_quotas_limit_the_default(monkeypatch):
    monkeypatch.setattr(threads, "quotas", lambda root: iter([0.5, 7.0]))
    assert threads.available_cpus() == 1
