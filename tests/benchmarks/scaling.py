"""How a step's time falls with more threads: a model, made of counts and a few measured times.

The unit of work is a multiply-add. A step takes as long as what one thread does alone, and then the
thread with the most to do in each act, which fetches what others wrote from their caches, with the
barriers between the acts. The core's own constants are read from its sources. What the model leaves
out: the bandwidth of memory, slower clocks where many processors work, and nodes of memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache
from itertools import pairwise
from math import ceil
from pathlib import Path

from problem import parse_network

CEXT = Path(__file__).parents[2] / "cext"
PACK, TRANSPOSE = 2, 8  # an element of an operand, as cext/share.c counts it
NUMBERS_A_LINE = 16
COLUMNS = 32  # of a register tile, AVX-512 in float32
SIGMA = {"relu": 6, "tanh": 13, "gelu": 35}  # an element, forward or back: as kernels.py measures
LOSS, ADAM = 40, 64  # an element of the scores, a parameter


@cache
def constant(name: str) -> int:
    """Return a constant of the core's sources."""
    pattern = re.compile(rf"\b{name}\s*(?:=\s*)?(?:\(\(int64_t\)1 << (\d+)\)|(\d+))")
    for path in sorted(CEXT.glob("*.[ch]")):
        if found := pattern.search(path.read_text()):
            return 1 << int(found[1]) if found[1] else int(found[2])
    raise ValueError(f"cext: no constant {name}")


@dataclass(frozen=True)
class Work:
    """What a thread does in a step or a part of one, in multiply-adds."""

    products: float = 0
    packing: float = 0
    elements: float = 0
    updates: float = 0
    lines: float = 0  # of the cache, which others wrote; not in multiply-adds

    @property
    def total(self) -> float:
        return self.products + self.packing + self.elements + self.updates

    def __add__(self, other: Work) -> Work:
        return Work(*map(sum, zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True)
class Times:
    """What was measured, in ns.

    Parameters
    ----------
    alone : float
        A step with one thread.
    call : float
        Of it, what no other thread can do: Python, and the way into the core.
    hop : float
        Until one thread sees what another one wrote.
    line : float
        To fetch a cache line of many that another thread wrote.
    """

    alone: float
    call: float
    hop: float
    line: float

    def speedup(self, network: str, most: int) -> tuple[float, int]:
        """Return the best speed-up with up to so many threads, and how many it takes.

        Parameters
        ----------
        network : str
            As `problem.parse_network` reads it.
        most : int
            The threads.

        Returns
        -------
        tuple of (float, int)
            Over one thread; of 1, 2, 4, ... and `most`.
        """
        times = {count: self.step(network, count) for count in counts(most)}
        fewest = min(times, key=lambda count: times[count])
        return self.alone / times[fewest], fewest

    def step(self, network: str, threads: int) -> float:
        """Return a step's time with a number of threads."""
        work, parts = step(network, threads)
        rate = (self.alone - self.call) / step(network, 1)[0].total
        fetched = self.line * work.lines
        return self.call + rate * work.total + fetched + sum(map(self.barrier, parts))

    def barrier(self, threads: int) -> float:
        """Return the time to give a job to so many threads and to see that all are done."""
        return 2 * self.hop * sum(served(threads))


def served(threads: int) -> Iterator[int]:
    """Yield for each level of the tree how many threads one looks after there, one by one."""
    fan_out, above, left = constant("FAN_OUT"), 1, threads - 1
    while left > 0:
        yield min(fan_out, ceil(left / above))
        above *= fan_out
        left -= above


def wake_up(threads: int, waking: float, asleep: float) -> float:
    """Return the time to give a job to so many threads that sleep, and to see that all are done.

    Parameters
    ----------
    threads : int
        How many.
    waking, asleep : float
        What it takes to call one, and the whole with one.
    """
    return sum(count * waking + (asleep - waking) for count in served(threads))


def counts(most: int) -> list[int]:
    """Return 1, 2, 4, ... and `most`."""
    return [*(1 << i for i in range(most.bit_length()) if 1 << i < most), most]


def step(network: str, threads: int) -> tuple[Work, list[int]]:
    """Return what the threads with the most to do take for a step, and the barriers' threads.

    Parameters
    ----------
    network : str
        As `problem.parse_network` reads it.
    threads : int
        How many share it.

    Returns
    -------
    tuple of (Work, list of int)
        Summed over the acts; among how many threads each is shared.
    """
    widths, activation, n = parse_network(network)
    layers = list(pairwise(widths))
    multiply_adds = 3 * n * sum(inputs * outputs + outputs for inputs, outputs in layers)
    threads = worth(multiply_adds, "PART_STEP", threads)
    acts = by_rows if goes_by_rows(layers, n, threads) else by_products
    done = list(acts(layers, SIGMA[activation], n, threads))
    return sum((work for work, _ in done), Work()), [parts for _, parts in done if parts > 1]


def worth(work: int, per_part: str, threads: int) -> int:
    """Return among how many threads work is shared at most."""
    return max(1, min(work // constant(per_part), threads))


def goes_by_rows(layers: list[tuple[int, int]], n: int, threads: int) -> bool:
    """Return whether each thread takes rows of the batch through all layers."""
    work = n * max(inputs * outputs for inputs, outputs in layers)
    many = max(constant("MANY_ROWS"), constant("MANY_ROWS_A_THREAD") * threads)
    return work <= constant("LITTLE_WORK") or (work <= constant("MEDIUM_WORK") and n >= many)


def by_rows(
    layers: list[tuple[int, int]], sigma: int, n: int, threads: int
) -> Iterator[tuple[Work, int]]:
    """Yield both regions: some rows to the loss and back, then some of each gradient.

    Weights are packed by every thread.
    """
    step_, chunks = constant("CHUNK_STEP"), constant("MOST_CHUNKS")
    chunk = ceil(ceil(n / chunks) / step_) * step_
    rows = min(n, ceil(ceil(n / chunk) / threads) * chunk)
    work = Work(elements=LOSS * rows * layers[-1][1])
    for l, (inputs, outputs) in enumerate(layers):
        hidden = sigma * (l < len(layers) - 1)
        work += part(rows, outputs, inputs, TRANSPOSE, elements=hidden)
        work += Work(lines=others(inputs * outputs, threads))
        if l > 0:
            work += part(rows, inputs, outputs, PACK, elements=sigma)
    yield work, threads
    work = Work()
    for inputs, outputs in layers:
        work += largest(outputs, inputs, n, threads, PACK, updates=ADAM)
    yield work, threads


def by_products(
    layers: list[tuple[int, int]], sigma: int, n: int, threads: int
) -> Iterator[tuple[Work, int]]:
    """Yield the products one by one, each shared by all threads."""
    for l, (inputs, outputs) in enumerate(layers):
        parts = worth(n * inputs * outputs, "PART_PRODUCT", threads)
        hidden = sigma * (l < len(layers) - 1)
        yield largest(n, outputs, inputs, parts, TRANSPOSE, elements=hidden), parts
        if l > 0:
            yield largest(n, inputs, outputs, parts, PACK, elements=sigma), parts
        yield largest(outputs, inputs, n, parts, PACK, updates=ADAM), parts
    scores = n * layers[-1][1]
    parts = worth(scores, "PART_ELEMENTS", threads)
    yield Work(elements=LOSS * scores / parts), parts


def others(numbers: float, threads: int) -> float:
    """Return the cache lines of so many numbers that others wrote, and take back to write again."""
    return 2 * numbers / NUMBERS_A_LINE * (1 - 1 / threads)


def part(rows: int, columns: int, depth: int, packing: int, **each: int) -> Work:
    """Return the work of a rectangle of a product, with so much for each of its elements."""
    packed = depth * (packing * columns + PACK * rows)
    more = {name: count * rows * columns for name, count in each.items()}
    return Work(products=rows * columns * depth, packing=packed, **more)


def largest(rows: int, columns: int, depth: int, parts: int, packing: int, **each: int) -> Work:
    """Return the largest part of a product's best grid of up to so many."""

    def of_grid(down: int) -> Work:
        height = min(rows, 2 * ceil(ceil(rows / 2) / down))
        width = min(columns, COLUMNS * ceil(ceil(columns / COLUMNS) / (parts // down)))
        return part(height, width, depth, packing, **each) + Work(
            lines=others(depth * (height + width), parts)
        )

    return min((of_grid(down) for down in range(1, parts + 1)), key=lambda work: work.total)


def shares(network: str, times: Times) -> dict[str, float]:
    """Return the shares of a step's time with one thread: what its parts take, and the call."""
    work, _ = step(network, 1)
    shared = 1 - times.call / times.alone
    kinds = ("products", "packing", "elements", "updates")
    return {k: shared * getattr(work, k) / work.total for k in kinds} | {"call": 1 - shared}
