"""The command line: `nnpoly train | predict | evaluate | summary | export | import | check | ...`.

The others are `nnpoly parity | bench | info`.

A mistake that the user can correct is one line on stderr and exit status 2, before any work. Status
1 is a bad result (a parity breach, a loss that became NaN, a full disk), 130 is Ctrl-C, and 143 and
129 are the signals TERM and HUP.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from ..backends.info import show_config
from ..training.epochs import NonFiniteLossError
from .common import Mistake, Parser, fail, one_line
from .exchange import add_check, add_export, add_import, check, export, import_
from .measure import add_bench, add_parity, bench, parity
from .models import add_evaluate, add_predict, add_summary, evaluate, predict, summary
from .process import Terminated, abandon_stdout, stdout_errors, terminable, usable_streams
from .train import add_train, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    Parameters
    ----------
    arguments
        The arguments without the program's name; None for those of this process.

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
    with usable_streams(), terminable():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    options = argparse.Namespace(prog="nnpoly")
    try:
        try:
            options = _parser().parse_args(arguments)
            status: int = options.run(options)
            return status
        finally:
            with stdout_errors():
                sys.stdout.flush()  # here, where a closed pipe is told from a full disk
    except BrokenPipeError:
        abandon_stdout()
        return 1
    except Terminated as end:
        return fail(options, "terminated", end.status)
    except KeyboardInterrupt:
        return fail(options, "interrupted", 130)
    except Mistake as mistake:
        return fail(options, str(mistake), 2)
    except (NonFiniteLossError, OSError, MemoryError) as error:
        abandon_stdout()
        return fail(options, one_line(error), 1)


def _parser() -> argparse.ArgumentParser:
    from ..backends.info import __version__

    def overview(options: argparse.Namespace) -> int:
        parser.print_help()
        return 0

    parser = Parser(prog="nnpoly", description="Multi-layer perceptrons on the Python array API.")
    parser.add_argument("--version", action="version", version=f"nnpoly {__version__}")
    parser.set_defaults(run=overview, prog=parser.prog)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    add_train(_command(commands, train))
    add_predict(_command(commands, predict))
    add_evaluate(_command(commands, evaluate))
    add_summary(_command(commands, summary))
    add_export(_command(commands, export))
    add_import(_command(commands, import_))
    add_check(_command(commands, check))
    add_parity(_command(commands, parity))
    add_bench(_command(commands, bench))
    _command(commands, info)
    return parser


def _command(commands: Any, run: Callable[..., int]) -> Callable[..., Any]:
    """Add the command of the function `run`, whose docstring is its help; return `add_argument`."""
    text = (run.__doc__ or "").partition("\n")[0]
    command = commands.add_parser(run.__name__.rstrip("_"), help=text, description=text)
    command.set_defaults(run=run, prog=command.prog)
    add: Callable[..., Any] = command.add_argument
    return add


def info(options: argparse.Namespace) -> int:
    """Print versions and backends, for bug reports."""
    show_config()
    return 0
