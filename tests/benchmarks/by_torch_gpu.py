"""torch on a GPU: eager, compiled, and whole steps in CUDA graphs."""

from __future__ import annotations

from functools import partial
from math import ceil
from typing import Any

import torch
from by_torch import adam, cross_entropy, sequential
from gpu_contestant import SIDE, Clock, DeviceContestant, fastest
from problem import Problem

MODE = "max-autotune-no-cudagraphs"  # the graphs are those of TorchCompileGraph
WARM = 3  # steps before a capture, as torch asks for


class TorchClock(Clock):
    """Of torch's current stream."""

    def event(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def elapsed(self, start: torch.cuda.Event, end: torch.cuda.Event) -> float:
        return start.elapsed_time(end) / 1e3

    def wait(self) -> None:
        torch.cuda.current_stream().synchronize()


def versions() -> dict[str, str]:
    """Name what is measured.

    Returns
    -------
    dict of str to str
        Versions of torch and of its CUDA.
    """
    if not torch.cuda.is_available():
        raise ImportError(f"torch {torch.__version__} finds no CUDA device")
    return {"torch": torch.__version__, "CUDA of torch": str(torch.version.cuda)}


def set_precision(precision: str) -> None:
    """Say how float32 matrices are multiplied: TF32 only where it was asked for.

    Parameters
    ----------
    precision : str
        One of `gpu_contestant.PRECISIONS`.
    """
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def speeds(precision: str) -> dict[str, float | None]:
    """Measure the device.

    Parameters
    ----------
    precision : str
        One of `gpu_contestant.PRECISIONS`.

    Returns
    -------
    dict of str to float or None
        "peak": FLOP/s of a large cuBLAS product; "bandwidth": bytes/s of a copy, read and written.
    """
    set_precision(precision)
    clock, wide = TorchClock(), torch.rand(SIDE, SIDE, device="cuda")
    copy = torch.empty_like(wide)
    bandwidth = 2 * wide.nbytes / fastest(clock, lambda: copy.copy_(wide))
    a = wide.bfloat16() if precision == "bf16" else wide
    b, out = a.T.contiguous(), torch.empty_like(a)
    seconds = fastest(clock, lambda: torch.mm(a, b, out=out))
    return {"peak": 2 * SIDE**3 / seconds, "bandwidth": bandwidth}


class Torch(DeviceContestant):
    """Eager, with the fused Adam; bf16 is autocast."""

    clock, device = TorchClock(), "cuda"
    capturable = compiled = False
    path = "eager"

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        set_precision(precision)
        self.network, self.loss = sequential(problem).to(self.device), cross_entropy
        if self.compiled:
            torch.compiler.reset()  # else the networks before this one count as recompilations
            self.loss = torch.compile(cross_entropy, mode=MODE)
        self.x, self.y = (torch.from_numpy(a).to(self.device) for a in (problem.x, problem.y))
        self.autocast = partial(
            torch.autocast,
            self.device,
            torch.bfloat16,
            enabled=precision == "bf16",
            cache_enabled=False,  # of no use to weights that are read once, and unsafe in a capture
        )
        self.optimizer = adam(self.network, learning_rate, self.capturable)

    def train(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Take a step on a batch and return the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = self.loss(self.network, x, y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def step(self) -> torch.Tensor:
        return self.train(self.x, self.y)


class TorchCompile(Torch):
    """Forward and loss compiled, and with them the backward pass they define."""

    compiled = True
    path = f"torch.compile, {MODE}"


class TorchGraph(Torch):
    """The whole step, Adam included, in one CUDA graph; the batch is copied to where it reads."""

    capturable = True
    path = "a CUDA graph of the eager step"

    def __init__(self, problem: Problem, learning_rate: float, precision: str) -> None:
        super().__init__(problem, learning_rate, precision)
        self.X = self.x.repeat(self.multiple, 1, 1)
        self.Y = self.y.repeat(self.multiple, 1)
        start = [parameter.detach().clone() for parameter in self.network.parameters()]
        self.warm_up()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.results = self.run()
        self.restart(start)

    def run(self) -> torch.Tensor:
        """Take the steps that are captured and return their losses."""
        return torch.stack([self.train(x, y) for x, y in zip(self.X, self.Y, strict=True)])

    def warm_up(self) -> None:
        """Take steps on a side stream: what they allocate and choose once is not to be captured."""
        side, current = torch.cuda.Stream(), torch.cuda.current_stream()
        side.wait_stream(current)
        with torch.cuda.stream(side):
            for _ in range(WARM):
                self.train(self.x, self.y)
        current.wait_stream(side)
        self.optimizer.zero_grad(set_to_none=True)

    @torch.no_grad()
    def restart(self, start: list[torch.Tensor]) -> None:
        """Undo those steps, in the memory that the graph knows."""
        for parameter, first in zip(self.network.parameters(), start, strict=True):
            parameter.copy_(first)
        for state in self.optimizer.state.values():
            for moment in state.values():
                moment.zero_()

    def replay(self) -> torch.Tensor:
        """Take the graph's steps and return their losses."""
        self.X.copy_(self.x)
        self.Y.copy_(self.y)
        self.graph.replay()
        return self.results

    def losses(self, count: int) -> list[float]:
        found: list[float] = []
        while len(found) < count:
            found += self.replay().tolist()
        return found[:count]

    def step(self) -> Any:
        return self.replay()[0]

    def steps(self, count: int) -> None:
        for _ in range(ceil(count / self.multiple)):
            self.replay()


class TorchGraph8(TorchGraph):
    """Eight steps a graph."""

    multiple = 8
    path = "a CUDA graph of 8 eager steps"


class TorchCompileGraph(TorchGraph):
    """The compiled step in a CUDA graph."""

    compiled = True
    path = f"a CUDA graph of torch.compile, {MODE}"
