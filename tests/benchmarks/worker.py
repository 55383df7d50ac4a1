"""A contestant in a process of its own: it prepares cases, and then times them on request.

Usage: python worker.py MODULE CONTESTANT. The module has `versions(contestant)` and
`prepare(contestant, case, **options)`, which returns a `timing.Case`. The process writes a line of
JSON first, and then one for each line that it reads; remote.py is the other side:

    (first)                                          {"versions": {"torch": "2.13.0"}}
    {"do": "prepare", "cases": ["2-8-2:tanh:b4"]}    {"facts": [{"steps": 300}]}
    {"do": "sample", "case": "2-8-2:tanh:b4",        {"us": 160.2}
     "number": 0}
    (whatever went wrong)                            {"fault": "failed: ValueError: ..."}
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, TextIO

from timing import Case


class Worker:
    """Answers the requests to one contestant of a module."""

    def __init__(self, module: ModuleType, contestant: str) -> None:
        self.module, self.contestant = module, contestant
        self.cases: dict[str, Case] = {}

    def versions(self) -> dict[str, Any]:
        """Import the contestant's libraries, and name what runs."""
        return {"versions": self.module.versions(self.contestant)}

    def prepare(self, cases: list[str], **options: Any) -> dict[str, Any]:
        """Build cases, which take the place of those before, and say what there is to say of each.

        Building is when a case compiles, warms up, shows its results and finds the size of a block.
        """
        self.cases.clear()  # those before make room
        for case in cases:
            self.cases[case] = self.module.prepare(self.contestant, case, **options)
        return {"facts": [case.facts for case in self.cases.values()]}

    def sample(self, case: str, number: int) -> dict[str, Any]:
        """Time a case once, for the round of that number."""
        return self.cases[case].sample(number)


def answer(request: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
    """Carry out a request; what goes wrong becomes the reply."""
    try:
        return request(**arguments)
    except ImportError as error:
        return {"fault": f"unavailable: {error}"}
    except Exception as error:  # whatever a contestant raises, the others go on
        return {"fault": f"failed: {type(error).__name__}: {error}"}


def private_stdout() -> TextIO:
    """Keep the pipe to the parent for replies: what libraries print goes to stderr."""
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return pipe


def main(module: str, contestant: str) -> None:
    """Reply with the versions, then to each line of stdin until it ends."""
    pipe = private_stdout()
    worker = Worker(import_module(module), contestant)
    print(json.dumps(answer(worker.versions)), file=pipe)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(answer(getattr(worker, request.pop("do")), **request)), file=pipe)


if __name__ == "__main__":
    main(*sys.argv[1:])
