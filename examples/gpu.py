"""
The same training on a GPU
==========================

Trains a network on the GPU through CuPy, as compiled steps and then op by op, or through torch
where CuPy is missing, and the same network on the CPU through NumPy. All start from the same
weights and see the same batches, so they must end alike. In float64 only the order of additions
differs.

It needs an NVIDIA GPU and ``pip install nnpoly[cuda13]`` (or ``cuda12``, by the driver), or a torch
that finds one; else it says so.
"""

import os
import subprocess
import sys
from time import perf_counter

import numpy as np

import nnpoly as nn

EPOCHS = 5
STEPS = "NNPOLY_CUPY"  # how CuPy takes steps: it is read once, when CuPy is first used


def find_gpu():
    """Return backend and device of a GPU, or None."""
    states = nn.backends()
    if states["cupy"]:
        return "cupy", None
    reasons = [f"cupy: {states['cupy']}", f"torch: {states['torch']}"]
    if states["torch"]:
        import torch

        if torch.cuda.is_available():
            return "torch", "cuda"
        reasons[1] = "torch: available, but it finds no CUDA device"
    print("This example needs a GPU, and there is none here.", *reasons, sep="\n  ")
    return None


def train(backend, device, X, y):
    """Train, print how, and return the epochs' losses and the weights at the end."""
    net = nn.MLP([64, 512, 512, 10], dtype="float64", seed=0, backend=backend, device=device)
    trainer = nn.Trainer(net, nn.Adam(1e-3))
    trainer.fit(X, y, epochs=1, batch_size=256)  # what is compiled is compiled here
    began = perf_counter()
    trainer.fit(X, y, epochs=EPOCHS, batch_size=256)
    w = net.to("numpy").w  # waits for the device
    us = (perf_counter() - began) / trainer.t * (EPOCHS + 1) / EPOCHS * 1e6
    losses = trainer.history.loss
    print(f"{backend:<6} {us:9.1f} us a step, loss {losses[0]:.6f} -> {losses[-1]:.6f}")
    print(f"       {trainer.summary().splitlines()[-1]}")
    return np.array(losses), w


def main(place):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 64))
    y = (X @ rng.normal(size=(64, 10))).argmax(axis=1)
    on_cpu, w_cpu = train("numpy", None, X, y)
    on_gpu, w_gpu = train(*place, X, y)
    apart = np.abs(w_gpu - w_cpu).max()
    print(f"       the largest difference of a weight is {apart:.1e}")
    assert np.allclose(on_gpu, on_cpu, rtol=1e-9)
    assert apart < 1e-8


if __name__ == "__main__" and (gpu := find_gpu()):
    main(gpu)
    if gpu[0] == "cupy" and STEPS not in os.environ:
        print("\nThe same, op by op:", flush=True)
        op_by_op = os.environ | {STEPS: "kernels"}
        subprocess.run([sys.executable, __file__], env=op_by_op, check=True)
