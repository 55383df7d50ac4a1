"""Callbacks of `Trainer.fit`.

A callback is anything called as `callback(trainer, history)` after every epoch; returning True ends
the training. `history` is of this fit, `trainer.history` of all epochs. A class of your own may
have more methods, each of which is optional:

`begin(trainer)`
    Called before the first epoch.
`end(trainer, history)`
    Called once training is over, whether by its epochs, by a callback, by Ctrl-C or by an error.
`can_wait()`
    The number of epochs that may pass before this must be called, at least 1. It is then called
    for each of them in order, with the network and `trainer.history` of the last one, and the
    epochs take less time.
    Without this method it is called after every epoch.
`state()`
    What the callback remembers: a dict of JSON values, numbers and NumPy arrays. `Checkpoint`
    writes it into its file.
`restore(state)`
    Called after `begin` when a fit is resumed, with what `state()` returned when it was saved.

The logs (`CSVLog`, `JSONLog`, `TensorBoard`) are callbacks too.

This one ends training once the loss has been low for a few epochs in a row. A run that is
interrupted and resumed goes on counting where it was:

>>> import os, tempfile, numpy as np, nnpoly as nn
>>> class StayBelow:
...     def __init__(self, limit, epochs):
...         self.limit, self.epochs, self.count = limit, epochs, 0
...     def begin(self, trainer):
...         self.count = 0
...     def __call__(self, trainer, history):
...         self.count = self.count + 1 if history.loss[-1] < self.limit else 0
...         return self.count >= self.epochs
...     def can_wait(self):
...         return self.epochs - self.count
...     def state(self):
...         return {"count": self.count}
...     def restore(self, state):
...         self.count = state["count"]
>>> rng = np.random.default_rng(0)
>>> X = rng.normal(size=(20, 3))
>>> y = (X[:, 0] > 0).astype(int)
>>> def run(epochs):
...     trainer = nn.Trainer(nn.MLP([3, 4, 2]))
...     callbacks = [StayBelow(limit=9.0, epochs=5), nn.callbacks.Checkpoint(path)]
...     return trainer.fit(X, y, epochs, callbacks=callbacks, resume=path)
>>> with tempfile.TemporaryDirectory() as folder:
...     path = os.path.join(folder, "run.safetensors")
...     len(run(epochs=3)), len(run(epochs=100))
(3, 5)
"""

from .checkpoints import Checkpoint
from .logs import CSVLog, JSONLog, TensorBoard
from .stopping import EarlyStopping, ReduceOnPlateau

__all__ = ["CSVLog", "Checkpoint", "EarlyStopping", "JSONLog", "ReduceOnPlateau", "TensorBoard"]
