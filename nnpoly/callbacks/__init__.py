"""Callbacks of `Trainer.fit`.

A callback is anything called as `callback(trainer, history)` after every epoch; returning True ends
the training. It may have more methods:

- `begin(trainer)` is called before the first epoch, and `end(trainer, history)` once training is
  over, whether by its epochs, by a callback, by Ctrl-C or by an error.
- `blind()` returns how many epochs may pass before it must be called; it is then called for each of
  them, with the network of the last one. Without this it is called after every epoch.
- `state()` returns what it remembers, a dict of JSON values and NumPy arrays, and `restore(state)`
  takes that up again after `begin`, so that it lives on in a file (see `Checkpoint`).

The logs (`CSVLog`, `JSONLog`, `TensorBoard`) are callbacks too.
"""

from .checkpoints import Checkpoint
from .logs import CSVLog, JSONLog, TensorBoard
from .stopping import EarlyStopping, ReduceOnPlateau

__all__ = ["CSVLog", "Checkpoint", "EarlyStopping", "JSONLog", "ReduceOnPlateau", "TensorBoard"]
