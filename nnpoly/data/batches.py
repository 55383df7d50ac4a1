"""Batches of an epoch, from arrays in memory or from sources that are larger."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import islice
from operator import mul
from typing import Any, NamedTuple

from ..backends import host
from ..backends.steps import Batch
from ..losses import Loss
from ..primitives import Array
from . import entering
from .place import Place
from .rows import Rows


class Batches(NamedTuple):
    """One epoch: batches of `size` of the rows `order` of the data."""

    data: Batch  # all N rows; x may be Rows
    order: host.HostArray | None  # (rows,); None for all rows in their order
    size: int

    @property
    def rows(self) -> int:
        """The number of rows that the epoch visits."""
        return int(self.data.x.shape[0]) if self.order is None else len(self.order)

    @property
    def steps(self) -> int:
        """The number of batches."""
        return -(-self.rows // self.size)

    def mean(self, values: Sequence[float]) -> float:
        """The mean of the batches' means, weighted by their sizes: the last one may be smaller."""
        return self.means(values)[0]

    def means(self, values: Sequence[float]) -> list[float]:
        """The means of several epochs such as this one, of all their batches' means."""
        full, rest = divmod(self.rows, self.size)
        sizes = [self.size] * full + ([rest] if rest else [])
        starts = range(0, len(values), len(sizes))
        return [mean(values[i : i + len(sizes)], sizes) for i in starts]

    def arrays(self, place: Place, where: str) -> Generator[Batch, None, None]:
        """Yield each batch as the network's arrays."""
        _, y, sample_weight = self.data
        take = self._taking(place, where)
        slices = blocks(self.rows, self.size)
        for rows, x in zip(slices, self._inputs(place, where, take), strict=True):
            yield Batch(
                x, take(y, rows), None if sample_weight is None else take(sample_weight, rows)
            )

    def inputs(self, place: Place, where: str) -> Iterator[Array]:
        """Yield each batch's x as the network's array."""
        return self._inputs(place, where, self._taking(place, where))

    def _taking(self, place: Place, where: str) -> Callable[[Array, slice], Array]:
        """The function that takes a slice of the epoch's rows of one of the network's arrays."""
        if self.order is None:
            return lambda array, rows: array[rows, ...]
        gather = place.backend.ops.gather
        indices = place.integers(where, "order", self.order)

        def take(array: Array, rows: slice) -> Array:
            with place.scope():
                part: Array = gather(array, indices[rows])
                return part

        return take

    def _inputs(
        self, place: Place, where: str, take: Callable[[Array, slice], Array]
    ) -> Iterator[Array]:
        x = self.data.x
        if isinstance(x, Rows):
            return self._streamed(place, where, x)
        return (take(x, rows) for rows in blocks(self.rows, self.size))

    def _streamed(self, place: Place, where: str, x: Rows) -> Iterator[Array]:
        """Yield each batch of x, which is read, and goes to the device, several batches at a time.

        A batch lies in memory as it would if the device held all rows, for some kernels round
        otherwise at another alignment: gathered rows in an array of their own, others in a block
        whose place among all rows is a multiple of a power of two.
        """
        order, backend = self.order, place.backend
        batch_bytes = self.size * int(x.shape[1]) * place.itemsize
        together = self.size * power_of_two(backend.block_bytes // batch_bytes)
        spans = blocks(self.rows, together)
        chosen = spans if order is None else (order[span] for span in spans)
        read = (entering.read(where, place, x, rows) for rows in chosen)
        for block in backend.upload(read, place.device):
            for rows in blocks(block.shape[0], self.size):
                batch = block[rows, ...]
                gathered = order is not None and together > self.size
                yield backend.copy(batch) if gathered else batch


def visited(epochs: Sequence[Batches]) -> host.HostArray:
    """The numbers of the rows that epochs of the same data visit, in order."""
    first = epochs[0]
    if first.order is None:
        return host.arange(first.rows, len(epochs))
    if len(epochs) == 1:
        return first.order
    return host.concatenate(epoch.order for epoch in epochs if epoch.order is not None)


def mean(values: Sequence[float], sizes: Sequence[int]) -> float:
    """The mean of means of samples, weighted by the samples' sizes."""
    return math.fsum(map(mul, values, sizes)) / sum(sizes)


def power_of_two(most: int) -> int:
    """The largest power of two that does not exceed a number, or else 1."""
    return 1 << max(0, most.bit_length() - 1)


def blocks(n: int, size: int) -> Iterator[slice]:
    """Yield slices that cover 0..n-1, none longer than size."""
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))


class ArrayData(NamedTuple):
    """Data as the network's arrays: the same rows every epoch.

    Attributes
    ----------
    data
        All N rows.
    size
        Of a batch.
    seed
        Decides the orders.
    shuffle
        Visit the rows in a new order every epoch. Of a single batch, the order plays no part.
    bootstrap
        Visit as many rows drawn with replacement, the same ones every epoch.
    rows
        The numbers of the rows to visit; None for all.
    drop_last
        Leave out the last batch where it would be smaller than the others.
    """

    data: Batch
    size: int
    seed: int
    shuffle: bool = True
    bootstrap: bool = False
    rows: host.HostArray | None = None
    drop_last: bool = False

    @property
    def in_memory(self) -> bool:
        """Whether all rows are in arrays."""
        return not isinstance(self.data.x, Rows)

    def epoch(self, number: int) -> Batches:
        """The batches of the epoch of that number, counted from 0."""
        n = int(self.data.x.shape[0]) if self.rows is None else len(self.rows)
        size = min(self.size, n)  # C's integers hold no larger one
        order = host.permutation(n, self.seed, number) if self.shuffle and size < n else None
        for chosen in (host.bootstrap(n, self.seed) if self.bootstrap else None, self.rows):
            if chosen is not None:
                order = chosen if order is None else chosen[order]
        if self.drop_last and n % size:
            order = (host.arange(n) if order is None else order)[: n - n % size]
        return Batches(self.data, order, size)


class StreamData:
    """Batches that a user's source gives one by one, epoch after epoch.

    Parameters
    ----------
    given
        A function of the epoch's number (from 0) that returns an iterable of batches; or an
        iterable that starts anew whenever it is iterated; or an iterator, which is used up.
    epochs
        Their number.
    steps
        Batches an epoch; None for all that there are.
    loss, ends
        Of the network.
    """

    in_memory = False

    def __init__(
        self,
        where: str,
        given: Any,
        epochs: int,
        steps: int | None,
        loss: Loss,
        ends: entering.Ends,
    ) -> None:
        self._given, self._steps, self._loss, self._ends = given, steps, loss, ends
        self._begun = 0  # epochs
        if not callable(given) and not isinstance(given, Iterable):
            raise TypeError(
                f"{where}: without `y`, `X` must be an iterable of batches (X, y) or a function of "
                f"the epoch's number that returns one, got {type(given).__name__}."
            )
        if callable(given) and not _takes_a_number(given):
            raise TypeError(
                f"{where}: `X` must take the epoch's number (from 0), got a function without a "
                "parameter for it. Write lambda epoch: ..., even where every epoch is the same."
            )
        if isinstance(given, Iterator) and steps is None and epochs > 1:
            raise ValueError(
                f"{where}: `X` is an iterator, which one epoch uses up, but epochs={epochs}. Pass "
                "a function of the epoch's number that makes a new one, or steps_per_epoch."
            )

    def epoch(self, number: int) -> Stream:
        """The batches of the epoch of that number, counted from 0."""
        source = self._given(number) if callable(self._given) else self._given
        if self._steps is not None:
            source = islice(source, self._steps)
        begun = self._begun > 0 and isinstance(self._given, Iterator)
        self._begun += 1
        return Stream(source, self._loss, self._ends, begun)


def _takes_a_number(function: Callable[..., Any]) -> bool:
    """Whether a function can be called with one argument, as far as it says what it takes."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # of some functions that are compiled
        return True
    try:
        signature.bind(0)
    except TypeError:
        return False
    return True


class Stream:
    """One epoch of batches that a source gives one by one, each checked as it comes.

    Parameters
    ----------
    source
        Of the batches.
    loss, widths
        As of `StreamData`.
    begun
        Whether the source is an iterator that epochs before have taken batches from.

    Attributes
    ----------
    sizes
        The sizes of the batches that have come by now.
    """

    def __init__(
        self, source: Iterable[Any], loss: Loss, ends: entering.Ends, begun: bool = False
    ) -> None:
        self._source, self._loss, self._ends, self._begun = source, loss, ends, begun
        self.sizes: list[int] = []

    def arrays(self, place: Place, where: str) -> Generator[Batch, None, None]:
        """Yield each batch as the network's arrays."""
        for given in self._source:
            name = f"batch {len(self.sizes) + 1}"
            names = [f"{name}'s {part}" for part in ("X", "y", "sample_weight")]
            parts = _parts(where, name, given)
            batch = entering.checked(
                where, place, self._loss, self._ends, *parts, names=names, whole=True
            )
            self.sizes.append(int(batch.x.shape[0]))
            yield batch
        if not self.sizes and self._begun:
            raise ValueError(
                f"{where}: `X` is an iterator, which earlier epochs have used up. Ask for fewer "
                "epochs or steps_per_epoch, or pass a function of the epoch's number that makes a "
                "new one."
            )
        if not self.sizes:
            raise ValueError(f"{where}: `X` must give at least one batch an epoch, got none.")

    def mean(self, values: Sequence[float]) -> float:
        """The mean of the means of the batches that have come, weighted by their sizes."""
        return mean(values, self.sizes)


def _parts(where: str, name: str, given: Any) -> tuple[Any, ...]:
    """X, y and perhaps sample_weight of a source's batch."""
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        came = type(given).__name__ + (f" of {len(given)}" if hasattr(given, "__len__") else "")
        raise ValueError(
            f"{where}: `X` without y must give batches (X, y) or (X, y, sample_weight), but "
            f"{name} is a {came}."
        )
    return tuple(given)
