"""Batches: what an epoch goes through, of arrays in memory or of sources that are larger."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from ..backends import host
from ..losses import Loss
from ..network import Network
from ..primitives import Array
from . import entering
from .place import Place
from .rows import Rows

Batch: TypeAlias = tuple[Array, Array, Array | None]  # x, y and sample_weight


class Batches(NamedTuple):
    """Batches of `size` of the rows `order` of x and y."""

    x: Array  # (N, m_0), or Rows
    y: Array  # (N, K) or (N,)
    sample_weight: Array | None  # (N,)
    order: host.HostArray | None  # (rows,); None for all rows in their order
    size: int

    @property
    def rows(self) -> int:
        """The number of rows that the epoch visits."""
        return int(self.x.shape[0]) if self.order is None else len(self.order)

    @property
    def steps(self) -> int:
        """The number of batches."""
        return -(-self.rows // self.size)

    @property
    def sizes(self) -> list[int]:
        """The size of every batch; the last one may be smaller."""
        before = self.size * (self.steps - 1)
        return [self.size] * (self.steps - 1) + [self.rows - before]

    def arrays(self, net: Network, where: str) -> Generator[Batch, None, None]:
        """Yield each batch as the network's arrays."""
        taken = self._taking(net, where)
        for rows, x in zip(self._slices(), self._inputs(net, where, taken), strict=True):
            weights = None if self.sample_weight is None else taken(self.sample_weight, rows)
            yield x, taken(self.y, rows), weights

    def inputs(self, net: Network, where: str) -> Iterator[Array]:
        """Yield each batch's x as the network's array."""
        return self._inputs(net, where, self._taking(net, where))

    def _slices(self) -> Iterator[slice]:
        return blocks(self.rows, self.size)

    def _taking(self, net: Network, where: str) -> Callable[[Array, slice], Array]:
        """Return what takes those rows, of the epoch's order, of one of the network's arrays."""
        if self.order is None:
            return lambda array, rows: array[rows, ...]
        place, gather = net.place, net.ops.gather
        indices = place.integers(where, "order", self.order)

        def taken(array: Array, rows: slice) -> Array:
            with place.scope():
                return gather(array, indices[rows])

        return taken

    def _inputs(
        self, net: Network, where: str, taken: Callable[[Array, slice], Array]
    ) -> Iterator[Array]:
        if isinstance(self.x, Rows):
            return self._streamed(net, where, self.x)
        return map(partial(taken, self.x), self._slices())

    def _streamed(self, net: Network, where: str, x: Rows) -> Iterator[Array]:
        """Yield each batch of x, which is read, and goes to the device, several batches at a time.

        A batch lies in memory as it would if the device held all rows, for some kernels round
        otherwise at another alignment: gathered rows in an array of their own, others in a block
        whose place among all rows is a multiple of a power of two.
        """
        place, order = net.place, self.order
        together = self.size * _power_of_two(place.backend.block_bytes, self._batch_bytes(place))
        spans = blocks(self.rows, together)
        chosen = spans if order is None else (order[span] for span in spans)
        read = (entering.read(where, place, x, rows) for rows in chosen)
        for block in place.backend.upload(read, place.device):
            for rows in blocks(block.shape[0], self.size):
                batch = block[rows, ...]
                gathered = order is not None and together > self.size
                yield place.backend.copy(batch) if gathered else batch

    def _batch_bytes(self, place: Place) -> int:
        return self.size * int(self.x.shape[1]) * place.itemsize


def _power_of_two(whole: int, part: int) -> int:
    """Return the largest power of two of parts that do not exceed the whole, or else 1."""
    return 1 << max(0, (whole // part).bit_length() - 1)


@dataclass
class Stream:
    """One epoch of batches that a source gives one by one, each checked as it comes.

    Attributes
    ----------
    sizes
        The sizes of the batches that have come by now.
    """

    source: Iterable[Any]
    loss: Loss
    sizes: list[int] = field(default_factory=list)

    def arrays(self, net: Network, where: str) -> Generator[Batch, None, None]:
        """Yield each batch as the network's arrays."""
        for batch in self.source:
            name = f"batch {len(self.sizes) + 1}"
            names = [f"{name}'s {part}" for part in ("X", "y", "sample_weight")]
            widths, given = (net.inputs, net.outputs), _unpacked(where, name, batch)
            arrays = entering.checked(
                where, net.place, self.loss, widths, *given, names=names, whole=True
            )
            self.sizes.append(int(arrays[0].shape[0]))
            yield arrays
        if not self.sizes:
            raise ValueError(f"{where}: `X` must give at least one batch an epoch, got none.")


def _unpacked(where: str, name: str, batch: Any) -> tuple[Any, ...]:
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        came = f"{type(batch).__name__}" + (
            f" of {len(batch)}" if hasattr(batch, "__len__") else ""
        )
        raise ValueError(
            f"{where}: `X` without y must give batches (X, y) or (X, y, sample_weight), but "
            f"{name} is a {came}."
        )
    return tuple(batch)


class Source:
    """Where a fit takes batches from, epoch after epoch.

    Parameters
    ----------
    given
        A function of the epoch's number (from 0) that returns an iterable of batches; or an
        iterable that starts anew whenever it is iterated; or an iterator, which is used up.
    steps
        Batches an epoch; None for all that there are.
    """

    def __init__(self, where: str, given: Any, epochs: int, steps: int | None) -> None:
        self._given, self._steps = given, steps
        if not callable(given) and not isinstance(given, Iterable):
            raise TypeError(
                f"{where}: without `y`, `X` must be an iterable of batches (X, y) or a function of "
                f"the epoch's number that returns one, got {type(given).__name__}."
            )
        if isinstance(given, Iterator) and steps is None and epochs > 1:
            raise ValueError(
                f"{where}: `X` is an iterator, which one epoch uses up, but epochs={epochs}. Pass "
                "a function of the epoch's number that makes a new one, or steps_per_epoch."
            )

    def epoch(self, number: int) -> Iterable[Any]:
        """Return the batches of the epoch of that number, counted from 0."""
        source = self._given(number) if callable(self._given) else self._given
        return source if self._steps is None else islice(source, self._steps)


def blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cover 0..n-1, none longer than size."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
