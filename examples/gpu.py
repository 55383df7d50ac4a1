"""
The same training on a GPU
==========================

Trains a network on the GPU through CuPy, or through torch where CuPy is missing, and the same
network on the CPU through NumPy. Both start from the same weights and see the same batches, so
they must end alike. In float64 only the order of additions differs.

It needs an NVIDIA GPU and ``pip install nnpoly[cupy]``, or a torch that finds one; else it says so.
"""

from time import perf_counter

import numpy as np

import nnpoly as nn


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
    """Return the losses of five epochs, the weights at the end, and the seconds it took."""
    net = nn.MLP([64, 512, 512, 10], dtype="float64", seed=0, backend=backend, device=device)
    trainer = nn.Trainer(net, nn.Adam(1e-3))
    began = perf_counter()
    losses = trainer.fit(X, y, epochs=5, batch_size=256).loss
    return np.array(losses), net.to("numpy").w, perf_counter() - began


def main(place):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(5000, 64))
    y = (X @ rng.normal(size=(64, 10))).argmax(axis=1)
    on_cpu, w_cpu, seconds_cpu = train("numpy", None, X, y)
    on_gpu, w_gpu, seconds_gpu = train(*place, X, y)
    print(f"NumPy      {seconds_cpu:6.2f} s, loss {on_cpu[0]:.6f} -> {on_cpu[-1]:.6f}")
    print(f"{place[0]:<10} {seconds_gpu:6.2f} s, loss {on_gpu[0]:.6f} -> {on_gpu[-1]:.6f}")
    apart = np.abs(w_gpu - w_cpu).max()
    print(f"the largest difference of a weight is {apart:.1e}")
    assert np.allclose(on_gpu, on_cpu, rtol=1e-9)
    assert apart < 1e-8


if __name__ == "__main__" and (gpu := find_gpu()):
    main(gpu)
