"""Devices, streams, events and graphs: when work that was issued is done.

The null stream does its work at once (unless `late` says otherwise). Every other stream does it as
late as CUDA allows: when somebody waits for it. So what forgets to wait finds NaN, where a device
would find it now and then.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any

COUNT = 2
BYTES = 1 << 33  # the memory of each device


class CUDARuntimeError(RuntimeError):
    """An error of CUDA's runtime."""


class DeviceSynchronized(RuntimeError):
    """Raised when device synchronization is detected while disallowed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or "Device synchronization was detected while disallowed.")


class _State(threading.local):
    """The current device and streams of a thread."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Stream] = {}
        self.capturing: Stream | None = None
        self.synchronous = True


state = _State()
switches = {"null": False, "others": True}  # which streams work as late as they may


@contextmanager
def late(others: bool = True) -> Iterator[None]:
    """Let the null stream work as late as it may, too: what does not wait for it finds NaN.

    Without the others, those work at once: what they should have waited for is not there yet.
    """
    before = dict(switches)
    switches.update(null=True, others=others)
    try:
        yield
    finally:
        drain_all()
        switches.update(before)


class Device:
    """A CUDA device, by number; it is unhashable, as CuPy's is."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, device: Any = None) -> None:
        if device is None:
            device = state.device
        self.id = device.id if isinstance(device, Device) else _whole(device)
        self._before: list[int] = []

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> Any:
        return self.id == other.id if isinstance(other, Device) else NotImplemented

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"

    def __enter__(self) -> Device:
        self._before.append(state.device)
        self.use()
        return self

    def __exit__(self, *error: object) -> None:
        state.device = self._before.pop()

    def use(self) -> None:
        """Make this device current."""
        if not 0 <= self.id < COUNT:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        state.device = self.id

    def synchronize(self) -> None:
        """Wait for everything that was issued to this device."""
        declare_synchronize()
        drain_all(self.id)

    @property
    def mem_info(self) -> tuple[int, int]:
        """Free and total bytes."""
        from .memory import taken

        return BYTES - taken(self.id), BYTES

    @property
    def compute_capability(self) -> str:
        return "90"

    @property
    def attributes(self) -> dict[str, int]:
        return {"MultiProcessorCount": 132, "WarpSize": 32, "MaxThreadsPerBlock": 1024}


def _whole(device: Any) -> int:
    if isinstance(device, str | float) or not hasattr(device, "__int__"):
        raise TypeError("an integer is required")
    return int(device)


def current_device() -> Device:
    return Device(state.device)


def declare_synchronize(capture: bool = True) -> None:
    """Refuse where waiting for the device is not allowed: under capture, or by `cupyx`'s switch."""
    if capture and state.capturing is not None:
        raise RuntimeError(
            "the current stream is capturing, so synchronous API calls are disallowed"
        )
    if not state.synchronous:
        raise DeviceSynchronized()


class Work:
    """Something to be done in a stream's order, and the memory that it reads and writes."""

    def __init__(self, run: Callable[[], None], memory: Iterable[Any]) -> None:
        self.run = run
        # Memory itself would not be freed: what is kept is the buffers, and what became of them.
        self.fates = [m.fate for m in memory]
        self.buffers = [m.buffer for m in memory]

    def __call__(self) -> None:
        for fate in self.fates:
            fate.check()
        self.run()


_known: weakref.WeakValueDictionary[int, Stream] = weakref.WeakValueDictionary()
_numbers = count(0x1000, 0x10)


class Stream:
    """A CUDA stream: a queue that is worked off when somebody waits for it."""

    null: Stream
    ptds: Stream

    def __init__(
        self,
        null: bool = False,
        non_blocking: bool = False,
        ptds: bool = False,
        priority: int | None = None,
    ) -> None:
        self.ptr = 0 if null else next(_numbers)
        self.is_non_blocking = non_blocking
        self.priority = priority or 0
        self.device_id = -1 if null else state.device
        self._queue: deque[Callable[[], None]] = deque()
        self._issued = self._done = 0
        self._before: list[Stream | None] = []
        self._line: Line | None = None  # its part of the capture that runs
        _known[self.ptr] = self

    def __repr__(self) -> str:
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __eq__(self, other: object) -> Any:
        return self.ptr == other.ptr if isinstance(other, Stream) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.ptr)

    def __enter__(self) -> Stream:
        self._before.append(state.streams.get(state.device))
        state.streams[state.device] = self
        return self

    def __exit__(self, *error: object) -> None:
        state.streams[state.device] = self._before.pop() or Stream.null

    def use(self) -> Stream:
        """Make this stream current."""
        state.streams[state.device] = self
        return self

    # Work

    @property
    def eager(self) -> bool:
        """Whether work is done as it is issued."""
        return not switches["others" if self.ptr else "null"] and not self._queue

    def issue(self, run: Callable[[], None], memory: Iterable[Any] = ()) -> None:
        """Do work in this stream's order, or record it."""
        if self.device_id not in (-1, state.device):
            raise CUDARuntimeError(
                f"cudaErrorInvalidResourceHandle: {self}, but device {state.device} is current"
            )
        if state.capturing is not None:
            self._captured().append(Work(run, memory))
            return
        self._wait_for_legacy_stream()
        if self.eager:
            run()
        else:
            self.enqueue(Work(run, memory))

    def _captured(self) -> Line:
        """Return this stream's line of the capture that runs."""
        if self._line is None:
            raise CUDARuntimeError(
                f"cudaErrorStreamCaptureUnsupported: work issued to {self} while "
                f"{state.capturing} is capturing"
            )
        return self._line

    def _wait_for_legacy_stream(self) -> None:
        """The null stream waits for the blocking streams, and they for it."""
        if self.is_non_blocking:
            return
        others = [s for s in list(_known.values()) if s is not self and s._queue]
        for other in others:
            if not other.is_non_blocking and 0 in (self.ptr, other.ptr):
                self._wait(other, other._issued)

    def enqueue(self, step: Callable[[], None]) -> None:
        """Append to the queue, whatever is current."""
        self._queue.append(step)
        self._issued += 1

    def drain(self, upto: int | None = None) -> None:
        """Do the first `upto` pieces of work that were ever issued, or all."""
        upto = self._issued if upto is None else upto
        while self._queue and self._done < upto:
            self._done += 1
            self._queue.popleft()()

    def _wait(self, other: Stream, upto: int) -> None:
        if self.eager:
            other.drain(upto)
        else:
            self.enqueue(lambda: other.drain(upto))

    # CuPy's methods

    @property
    def done(self) -> bool:
        return not self._queue

    def synchronize(self) -> None:
        """Wait for this stream."""
        if state.capturing is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: synchronize in a capture")
        self._wait_for_legacy_stream()
        self.drain()

    def record(self, event: Event | None = None) -> Event:
        """Record an event: it is done when this stream's work so far is."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Let work issued from now on wait for the event."""
        if state.capturing is not None:
            self._wait_in_capture(event)
        elif event.line is not None:
            raise CUDARuntimeError("cudaErrorCapturedEvent: an event of a capture is waited for")
        elif event.stream is not None:
            self._wait(event.stream, event.position)

    def _wait_in_capture(self, event: Event) -> None:
        """Join the capture that the event belongs to, and have a branch's work done."""
        if event.line is None:
            raise CUDARuntimeError(
                "cudaErrorStreamCaptureIsolation: an event from before is waited for in a capture"
            )
        if self._line is None:
            self._line = Line(self)
            state.capturing._lines.append(self)  # type: ignore[union-attr]
        event.line.check_memory(event.position)
        self._line.append(partial(event.line.drain, event.position))
        event.line.joined = max(event.line.joined, event.position)

    def launch_host_func(self, callback: Callable[[Any], None], argument: Any) -> None:
        """Call a function of the host in this stream's order."""
        self.issue(lambda: callback(argument))

    # Capture

    def begin_capture(self, mode: int | None = None) -> None:
        """Record work from now on instead of doing it."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if state.capturing is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: a stream is capturing already")
        state.capturing, self._line, self._lines = self, Line(self), [self]

    def end_capture(self) -> Graph:
        """Return the graph of what was recorded."""
        if state.capturing is not self:
            raise RuntimeError("cudaErrorIllegalState: end_capture without begin_capture")
        lines = [stream._captured() for stream in self._lines]
        state.capturing = None
        for stream in self._lines:
            stream._line = None
        if any(line.joined < len(line) for line in lines[1:]):
            raise CUDARuntimeError("cudaErrorStreamCaptureUnjoined: a branch was not joined")
        return Graph(lines)

    def is_capturing(self) -> bool:
        """Whether this stream records."""
        return self._line is not None


Stream.null = Stream(null=True)
Stream.ptds = Stream.null


def ExternalStream(ptr: int, device_id: int = -1) -> Stream:
    """Return the stream of a number."""
    return by_ptr(ptr)


def by_ptr(ptr: int) -> Stream:
    """Return the stream that has this number."""
    if ptr not in _known:
        raise CUDARuntimeError(f"cudaErrorInvalidResourceHandle: no stream {ptr:#x}")
    return _known[ptr]


def get_current_stream(device_id: int | None = None) -> Stream:
    """Return the stream that work goes to."""
    return state.streams.get(state.device if device_id is None else device_id, Stream.null)


def drain_all(device: int | None = None) -> None:
    """Do all work that was issued, to a device or to all."""
    for stream in list(_known.values()):
        if device is None or stream.device_id in (-1, device):
            stream.drain()


class Event:
    """A place in a stream's order."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.stream: Stream | None = None
        self.line: Line | None = None  # of a capture
        self.position = 0
        self.time = None if disable_timing else 0.0

    def record(self, stream: Stream | None = None) -> None:
        """Stand for what was issued to the stream so far."""
        self.stream = stream or get_current_stream()
        self.line = self.stream._line
        self.position = self.stream._issued if self.line is None else len(self.line)
        if self.time is not None:
            self.time = time.perf_counter()

    @property
    def done(self) -> bool:
        return self.stream is None or self.stream._done >= self.position

    def synchronize(self) -> None:
        """Wait for what the event stands for."""
        if state.capturing is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: synchronize in a capture")
        if self.stream is not None:
            self.stream.drain(self.position)


def get_elapsed_time(start: Event, end: Event) -> float:
    """Return milliseconds of the host's clock: they say nothing about a device."""
    if start.time is None or end.time is None:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: an event without timing")
    return 1e3 * (end.time - start.time)


class Line:
    """The work of one stream in a capture. A branch's work is done when it is waited for."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._records: list[Callable[[], None]] = []
        self._done = 0
        self.joined = 0  # how much of it another stream waits for

    def __len__(self) -> int:
        return len(self._records)

    def append(self, record: Callable[[], None]) -> None:
        self._records.append(record)

    @property
    def works(self) -> list[Work]:
        return [record for record in self._records if isinstance(record, Work)]

    def rewind(self) -> None:
        """Let everything be done again."""
        self._done = 0

    def drain(self, upto: int) -> None:
        """Do the first `upto` records, but for those that were done."""
        while self._done < upto:
            self._done += 1
            self._records[self._done - 1]()

    def check_memory(self, upto: int) -> None:
        """Refuse to join work on memory that another stream's pool was given back before."""
        parts = self._records[self.joined : upto]
        fates = [fate for record in parts if isinstance(record, Work) for fate in record.fates]
        if any(fate.given_back and fate.stream is not self._stream for fate in fates):
            raise RuntimeError("memory was freed before the branch that uses it was joined")


class Graph:
    """A captured graph: the lines of its origin and of its branches."""

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return sum(len(line.works) for line in self._lines)

    def _run(self) -> None:
        for line in self._lines:
            line.rewind()
        self._lines[0].drain(len(self._lines[0]))

    def launch(self, stream: Stream | None = None) -> None:
        """Do everything again, on the same memory."""
        for line in self._lines:
            for work in line.works:
                for fate in work.fates:
                    fate.check_graph()
        (stream or get_current_stream()).issue(self._run)

    def upload(self, stream: Stream | None = None) -> None:
        """Prepare a launch."""
