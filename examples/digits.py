"""
Handwritten digits, on any backend
==================================

The same lines train on NumPy, CuPy, torch or JAX:
``python digits.py [numpy | cupy | torch | jax]``.
"""

import sys

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import nnpoly as nn


def load():
    """Return X, X_test, y, y_test: images of 8 x 8 pixels in [0, 1], and the digits they show."""
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, test_size=0.2, stratify=y, random_state=0)


def main(backend):
    X, X_test, y, y_test = load()
    net = nn.MLP([64, 256, 10], backend=backend, seed=0)
    print(net.summary())

    # 20 epochs of 90 steps; the learning rate falls from 0.003 to 0 along half a cosine.
    adam = nn.Adam(nn.schedules.Cosine(3e-3, steps=20 * 90))
    trainer = nn.Trainer(net, adam)
    history = trainer.fit(X, y, epochs=20, batch_size=16, progress=True)

    # A prediction lives where the network does; a copy on NumPy predicts in NumPy.
    predicted = net.to("numpy").classify(X_test)
    accuracy = (predicted == y_test).mean()
    print(f"training loss {history.loss[-1]:.4f}, test accuracy {accuracy:.2%}")
    assert accuracy > 0.97

    _, ax = plt.subplots(figsize=(6.4, 5.6), layout="constrained")
    nn.plotting.confusion_matrix(y_test, predicted, ax=ax)
    plt.show()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
