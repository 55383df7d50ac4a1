"""
A race of optimisers
====================

Which optimiser first brings the digits' validation loss below 0.1? Each gets four learning rates,
and all of them start from the same weights and see the same batches. They run together, as an
``nn.Ensemble``; each is stopped alone when it arrives.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nnpoly as nn
from nnpoly.plotting import PALETTE

GOAL, EPOCHS = 0.1, 40
RUNNERS = {
    "SGD": (nn.SGD, (0.03, 0.1, 0.3, 1.0)),
    "momentum": (lambda rate: nn.SGD(rate, momentum=0.9), (0.01, 0.03, 0.1, 0.3)),
    "Nesterov": (lambda rate: nn.SGD(rate, momentum=0.9, nesterov=True), (0.01, 0.03, 0.1, 0.3)),
    "AdaGrad": (nn.AdaGrad, (0.01, 0.03, 0.1, 0.3)),
    "RMSProp": (nn.RMSProp, (0.001, 0.003, 0.01, 0.03)),
    "Adam": (nn.Adam, (0.001, 0.003, 0.01, 0.03)),
    "NAdam": (nn.NAdam, (0.001, 0.003, 0.01, 0.03)),
    "Lion": (nn.Lion, (0.0001, 0.0003, 0.001, 0.003)),
}


def arrived(trainer, history):
    return history.validation_loss[-1] < GOAL


def main():
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.25, stratify=y, random_state=0)
    entries = [(name, rate) for name, (_, rates) in RUNNERS.items() for rate in rates]
    trainers = [
        nn.Trainer(nn.MLP([64, 64, 10], seed=0), RUNNERS[name][0](rate)) for name, rate in entries
    ]
    histories = nn.Ensemble(trainers).fit(
        *(X, y, EPOCHS),
        validation=(X_test, y_test),
        callbacks=lambda trainer: [arrived],
    )
    epochs, curves = {name: {} for name in RUNNERS}, {}
    for (name, rate), history in zip(entries, histories, strict=True):
        epochs[name][rate] = len(history) if arrived(None, history) else np.inf
        if epochs[name][rate] == min(epochs[name].values()):
            curves[name] = history.validation_loss
    best = {name: min(of_rate.values()) for name, of_rate in epochs.items()}
    ranking = sorted(best, key=best.get)
    for name in ranking:
        each = ", ".join(f"{count} at {rate:g}" for rate, count in epochs[name].items())
        print(f"{name:<10} epochs: {best[name]:3}   ({each})")
    assert max(best.values()) < np.inf  # all arrive, each at a rate of its own
    assert max(best["Adam"], best["momentum"]) < best["SGD"]

    _, ax = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    for name, colour, marker in zip(ranking, PALETTE, "osD^vPX*", strict=True):
        x = range(1, len(curves[name]) + 1)
        ax.semilogy(x, curves[name], color=colour, marker=marker, label=name)
    ax.axhline(GOAL, color="black", linestyle=":")
    ax.set(xlabel="epoch", ylabel="validation loss", title="each at its best rate")
    ax.legend()
    plt.show()


if __name__ == "__main__":
    main()
