"""The command line: `nnpoly train | parity | bench | info`.

What a user can put right is one line on stderr and exit status 2, before any work. Status 1 is a
bad result (a parity breach, a loss that became NaN, a full disk) and 130 is Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple, NoReturn

import numpy as np

from . import testing
from ._info import show_config
from .backends import Backend, registry
from .mlp import MLP
from .network import Network
from .optimizers import Adam
from .schedules import Cosine
from .training import History, NonFiniteLossError, Trainer

REASONS: dict[type[OSError], str | None] = {
    FileExistsError: "it is a file",
    FileNotFoundError: "the folder that it should be in is missing",
}
DTYPES = ("float32", "float64")
PACKAGES = ("matplotlib", "safetensors", "sklearn")  # what `train` needs
MODEL, LOSSES, PICTURE = "model.safetensors", "history.json", "loss.png"  # what it writes


class Problem(NamedTuple):
    """A network to time, and the size of its batch."""

    widths: tuple[int, ...]
    activation: str
    batch: int

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))} {self.activation} b{self.batch}"


PROBLEMS = (
    Problem((2, 8, 2), "tanh", 4),
    Problem((17, 64, 64, 6), "tanh", 64),
    Problem((64, 100, 10), "relu", 200),
    Problem((128, 256, 256, 128, 2), "relu", 1024),
    Problem((784, 512, 512, 10), "relu", 128),
)
LARGE_PROBLEMS = (
    Problem((784, 1024, 1024, 10), "gelu", 512),
    Problem((1024, 4096, 4096, 1024), "relu", 1024),
)
BLOCK_SECONDS = 0.02  # timed at once
MIN_ROUNDS = 5


class Mistake(Exception):
    """What the user can put right, in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        Without the program's name; None for those of this process.

    Raises
    ------
    SystemExit
        For --help, --version and arguments that cannot be parsed.

    Examples
    --------
    >>> from nnpoly.cli import main
    >>> main(["bench", "--backends", "abacus"])
    2
    """
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        return status
    except KeyboardInterrupt:
        return _fail(options, "interrupted", 130)
    except Mistake as mistake:
        return _fail(options, str(mistake), 2)
    except (NonFiniteLossError, OSError, MemoryError) as error:
        return _fail(options, _line(error), 1)


def _fail(options: argparse.Namespace, message: str, status: int) -> int:
    print(f"{options.prog}: {message}", file=sys.stderr)
    return status


def _line(error: BaseException) -> str:
    """Return the error's message as one line, without the name of the function that raised it."""
    text = " ".join(str(error).split()) or "out of memory"
    return re.sub(r"^(?!NNPOLY)[\w.]+: ", "", text)


@contextmanager
def _refused(*kinds: type[Exception]) -> Iterator[None]:
    """Turn errors about what the user asked for into a `Mistake`."""
    try:
        yield
    except kinds as error:
        raise Mistake(_line(error)) from error


# Arguments


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one line; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _whole(minimum: int) -> Callable[[str], int]:
    """Return an argparse type: the integers from `minimum` on."""

    def convert(text: str) -> int:
        with suppress(ValueError):
            if (value := int(text)) >= minimum:
                return value
        raise argparse.ArgumentTypeError(f"must be an integer >= {minimum}, got {text!r}")

    return convert


def _positive(text: str) -> float:
    with suppress(ValueError):
        if 0.0 < (value := float(text)) < math.inf:
            return value
    raise argparse.ArgumentTypeError(f"must be a number > 0, got {text!r}")


def _dtype(text: str) -> str:
    if text not in DTYPES:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(DTYPES)}, got {text!r}")
    return text


def _list(item: Callable[[str], Any]) -> Callable[[str], list[Any]]:
    """Return an argparse type: items between commas."""
    return lambda text: [item(part.strip()) for part in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    from . import __version__

    def overview(options: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser = _Parser(prog="nnpoly", description="Multi-layer perceptrons on the Python array API.")
    parser.add_argument("--version", action="version", version=f"nnpoly {__version__}")
    parser.set_defaults(run=overview, prog=parser.prog)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_train(_command(commands, _train))
    _add_parity(_command(commands, _parity))
    _add_bench(_command(commands, _bench))
    _command(commands, _info)
    return parser


def _command(commands: Any, run: Callable[..., int]) -> Callable[..., Any]:
    """Add the command that `run` carries out and describes; return its `add_argument`."""
    text = (run.__doc__ or "").partition("\n")[0]
    command = commands.add_parser(run.__name__.removeprefix("_"), help=text, description=text)
    command.set_defaults(run=run, prog=command.prog)
    add: Callable[..., Any] = command.add_argument
    return add


def _add_train(add: Callable[..., Any]) -> None:
    # Matrices this small are multiplied on one thread, which busy machines do not hold up, and
    # every seed from 0 to 9 gets more than 97 % of the test images right, on every backend.
    def option(name: str, kind: Any, default: Any, metavar: str, text: str) -> None:
        add(name, type=kind, default=default, metavar=metavar, help=f"{text} (%(default)s)")

    add("data", choices=["digits"], help="scikit-learn's 1797 images of 8 x 8 pixels")
    add("--backend", help="numpy, cupy, torch or jax ($NNPOLY_BACKEND, or numpy)")
    add("--device", help="in the backend's terms, such as cuda:1 (its own default)")
    option("--epochs", _whole(1), 20, "N", "passes over the data")
    option("--batch-size", _whole(1), 16, "N", "images a step")
    option("--widths", _list(_whole(1)), "256", "N,N", "neurons of the hidden layers")
    option("--learning-rate", _positive, 3e-3, "X", "Adam's at the start; it falls to 0")
    option("--seed", _whole(0), 0, "N", "decides the first weights and the shuffles")
    option("--dtype", _dtype, "float32", "T", f"{' or '.join(DTYPES)}")
    option("--output", Path, "nnpoly-digits", "DIR", "folder for the files; made if missing")
    add("--quiet", action="store_true", help="show no progress bar")


def _add_backends(add: Callable[..., Any]) -> None:
    add("--backends", type=_list(str), metavar="A,B", help="names (all that are available)")


def _add_parity(add: Callable[..., Any]) -> None:
    _add_backends(add)
    add("--dtypes", type=_list(_dtype), default=DTYPES, metavar="T,T", help=" and ".join(DTYPES))
    add("--steps", type=_whole(1), default=10, metavar="N", help="of each training run (10)")


def _add_bench(add: Callable[..., Any]) -> None:
    _add_backends(add)
    seconds = "for all backends together (2)"
    add("--seconds-per-network", type=_positive, default=2.0, metavar="S", help=seconds)
    add("--large", action="store_true", help="time two larger networks too")


def _backends(options: argparse.Namespace) -> list[Backend]:
    """Return the backends that were asked for, or all that are available."""
    with _refused(ValueError, ImportError):
        names = dict.fromkeys(options.backends or registry.available())
        return [registry.get(name) for name in names]


# nnpoly info


def _info(options: argparse.Namespace) -> int:
    """Print versions and backends: what to quote in a bug report."""
    show_config()
    return 0


# nnpoly train


def _train(options: argparse.Namespace) -> int:
    """Train on handwritten digits; write the network, its losses and their picture."""
    _require_packages()
    with _refused(ValueError, ImportError):
        backend, device = registry.resolve(options.backend, options.device)
    with backend.widened(options.dtype), _published(options.output) as folder:
        net = _network(options, backend, device)
        print(net)
        report = _train_digits(net, options)
        _write(net, report, folder)
    _print(report)
    print(f"{options.output} now holds {MODEL}, {LOSSES} and {PICTURE}")
    return 0


def _require_packages() -> None:
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise Mistake(f"{', '.join(missing)} not installed: pip install nnpoly[cli]")


@contextmanager
def _published(output: Path) -> Iterator[Path]:
    """Yield a folder whose files come to be in `output` at the end, or nowhere if it fails."""
    try:
        made = not output.is_dir()
        output.mkdir(exist_ok=True)
        staging = TemporaryDirectory(prefix=".", dir=output)
    except OSError as error:
        reason = REASONS.get(type(error), error.strerror)
        raise Mistake(f"--output: {output} cannot be written to: {reason}") from error
    try:
        with staging as folder:
            yield Path(folder)
            for file in Path(folder).iterdir():
                file.replace(output / file.name)
    except BaseException:
        with suppress(OSError):  # not empty
            if made:
                output.rmdir()
        raise


def _network(options: argparse.Namespace, backend: Backend, device: Any) -> Network:
    widths = [64, *options.widths, 10]
    with _refused(ValueError, MemoryError):
        return MLP(widths, dtype=options.dtype, seed=options.seed, backend=backend, device=device)


def _train_digits(net: Network, options: argparse.Namespace) -> dict[str, Any]:
    """Train the network and return what is worth knowing about it, in JSON's types."""
    X, X_test, y, y_test = _digits()
    steps = options.epochs * math.ceil(len(y) / options.batch_size)
    trainer = Trainer(net, Adam(Cosine(options.learning_rate, steps)))
    seconds = _fit(trainer, X, y, (X_test, y_test), options)
    return {
        "network": repr(net),
        "optimizer": repr(trainer.optimizer),
        "batch_size": options.batch_size,
        "seed": options.seed,
        "seconds": seconds,
        "train_accuracy": _accuracy(net, X, y),
        "test_accuracy": _accuracy(net, X_test, y_test),
        "train_loss": trainer.history.loss,
        "test_loss": trainer.history.validation_loss,
    }


def _fit(trainer: Trainer, X: Any, y: Any, test: Any, options: argparse.Namespace) -> float:
    """Train and return the seconds that it took."""
    epochs, batch_size, progress = options.epochs, options.batch_size, not options.quiet
    start = perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # the trainer says it better
        trainer.fit(X, y, epochs, batch_size, validation=test, progress=progress)
    return perf_counter() - start


def _digits() -> Any:
    """Return X, X_test, y, y_test: pixels in [0, 1], (1437, 64) and (360, 64), and the digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16.0, y, test_size=0.2, stratify=y, random_state=0)


def _accuracy(net: Network, X: Any, y: Any) -> float:
    return float(np.mean(registry.to_host(net.scores(X)).argmax(axis=1) == y))


def _write(net: Network, report: dict[str, Any], folder: Path) -> None:
    from .plotting import loss_figure

    net.save(folder / MODEL)
    (folder / LOSSES).write_text(json.dumps(report, indent=1) + "\n")
    shape = "-".join(map(str, net.widths))
    percent = f"{100 * report['test_accuracy']:.1f} %"
    title = f"Handwritten digits, {shape}: {percent} of the test images right"
    history = History(report["train_loss"], report["test_loss"])
    loss_figure(history, title, "cross-entropy (nats per image)").savefig(folder / PICTURE)


def _print(report: dict[str, Any]) -> None:
    print(f"train accuracy  {100 * report['train_accuracy']:6.2f} %")
    print(f"test accuracy   {100 * report['test_accuracy']:6.2f} %")
    print(f"training time   {report['seconds']:6.2f} s")


# nnpoly parity


def _parity(options: argparse.Namespace) -> int:
    """Compare every backend with the definition in float64: errors in units of their bounds."""
    breaches = [
        row
        for backend in _backends(options)
        for dtype in dict.fromkeys(options.dtypes)
        for row in _parity_table(backend.name, dtype, options.steps)
        if not row.passed
    ]
    for row in breaches:
        _fail(options, f"{row.backend} {row.dtype}, {row.subject}: {row.detail}", 1)
    return 1 if breaches else 0


def _parity_table(backend: str, dtype: str, steps: int) -> list[Any]:
    """Print the errors of one backend and dtype, a subject a row, and return the rows."""
    rows = testing.parity_report([backend], [dtype], steps).rows
    print(f"{f'{backend} {dtype}':<30}  error / bound")
    for row in rows:
        line = f"  {row.subject:<28}  {row.units:13.3f}  {'' if row.passed else 'BREACH'}"
        print(line.rstrip(), flush=True)
    return rows


# nnpoly bench


def _bench(options: argparse.Namespace) -> int:
    """Time training steps of several networks (float32, Adam) on every backend."""
    backends = _backends(options)
    for backend in backends:
        print(f"{backend.name:<6}  {backend.version()}")
    print(f"\n{'microseconds a step':<32}  {'backend':<7}  {'min':>10}  {'median':>10}")
    for problem in PROBLEMS + (LARGE_PROBLEMS if options.large else ()):
        runs = [_Run(problem, backend) for backend in backends]
        _measure(runs, options.seconds_per_network)
        for run in runs:
            times = f"{min(run.times):10.1f}  {median(run.times):10.1f}"
            print(f"{problem!s:<32}  {run.name:<7}  {times}", flush=True)
    return 0


class _Run:
    """A network in training on one backend, timed a block of steps at a time."""

    def __init__(self, problem: Problem, backend: Backend) -> None:
        rng, device, m = np.random.default_rng(0), backend.device(None), problem.widths
        x = rng.standard_normal((problem.batch, m[0]), dtype=np.float32)
        y = rng.integers(m[-1], size=problem.batch).astype(backend.index_dtype)
        self.batch = backend.from_host(x, device), backend.from_host(y, device)
        # So small a rate that the network never learns its batch: no denormal numbers appear.
        net = MLP(m, problem.activation, backend=backend)
        self.trainer = Trainer(net, Adam(1e-6))
        self.name = backend.name
        self.steps = 1  # in a block
        self.times: list[float] = []  # microseconds a step
        self._calibrate()

    def _calibrate(self) -> None:
        self._seconds()  # compiles
        while self._seconds() < BLOCK_SECONDS:
            self.steps *= 2

    def _seconds(self) -> float:
        start = perf_counter()
        for _ in range(self.steps):
            loss = self.trainer.step(*self.batch)
        registry.to_host(loss)  # it is here when the steps are done
        return perf_counter() - start

    def sample(self) -> None:
        """Time one block."""
        self.times.append(1e6 * self._seconds() / self.steps)


def _measure(runs: Sequence[_Run], seconds: float) -> None:
    """Time blocks for so many seconds, the runs in a new order every round."""
    end = perf_counter() + seconds
    rounds = 0
    while rounds < MIN_ROUNDS or perf_counter() < end:
        rounds += 1
        for run in random.sample(runs, len(runs)):
            run.sample()
