"""Commands of `nnpoly`, in this process and in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from paths import ROOT

from nnpoly import cli


def status_of(*arguments: Any) -> int:
    """Run the command line in this process and return its exit status."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)


def started(*arguments: Any, folder: Path, streams: str = "", **options: Any) -> Any:
    """Start the command line in a process of its own; `streams` are redirections of a shell."""
    command = [sys.executable, "-m", "nnpoly", *map(str, arguments)]
    if streams:
        command = ["sh", "-c", f'exec "$@" {streams}', "sh", *command]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, **{**pipes, **options})


def ended(*arguments: Any, **options: Any) -> tuple[int, str, str]:
    """Run the command line in a process; return its exit status and what it wrote."""
    with started(*arguments, **options) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, (out or b"").decode(), (err or b"").decode()
