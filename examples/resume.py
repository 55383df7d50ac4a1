"""
A run that is killed and goes on
================================

A training is killed in the middle, without a chance to clean up. Started again with the same lines
it goes on where its last checkpoint was, and ends with the same bits as a run that nothing
disturbed: weights, moments of Adam, learning rates, shuffles, the state of early stopping and the
history.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

import nnpoly as nn


def train(path, epochs=400):
    """Train, saving the run to a file after every epoch, and going on from it where it exists."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1000, 2))
    y = np.sin(X[:, 0]) * np.cos(2 * X[:, 1])
    net = nn.Network(
        [nn.Dense(2, 32, "tanh"), nn.Dropout(0.05), nn.Dense(32, 32, "tanh"), nn.Dense(32, 1)]
    )
    trainer = nn.Trainer(net, nn.Adam(nn.schedules.Cosine(5e-3, steps=epochs * 25)))
    callbacks = [nn.callbacks.EarlyStopping(patience=epochs), nn.callbacks.Checkpoint(path)]
    data, held_out = (X[:800], y[:800]), (X[800:], y[800:])
    history = trainer.fit(*data, epochs, validation=held_out, callbacks=callbacks, resume=path)
    return trainer, history


def kill_after(path, epochs):
    """Run this script's training in another process, and kill it once so many epochs are saved."""
    process = subprocess.Popen([sys.executable, sys.argv[0], str(path)])
    while not path.exists() or len(nn.Trainer.load(path).history) < epochs:
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.01)
    process.kill()
    process.wait()


def main():
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        kill_after(path, epochs=50)
        saved = len(nn.Trainer.load(path).history)
        print(f"killed: {saved} epochs are in the file, which is whole")
        _, history = train(path)
        _, reference = train(another := Path(folder) / "another.safetensors")
        arrays, expected = load_file(path), load_file(another)
    print(f"gone on to {len(history)} epochs, validation loss {history.validation_loss[-1]:.2e}")
    assert 50 <= saved < 400
    assert history == reference
    assert arrays.keys() == expected.keys()
    assert all(np.array_equal(arrays[name], expected[name]) for name in arrays)
    print("equal to the last bit:", ", ".join(sorted(arrays)))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train(sys.argv[1])
    else:
        main()
