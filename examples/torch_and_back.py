"""
A torch model, trained on here, and sent back
=============================================

A classifier that was trained in torch comes over with every bit of its weights, is trained on
nnpoly's C core, and goes back into the same torch module.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits

import nnpoly as nn
from nnpoly.exchange import from_torch, to_torch


def accuracy(model, X, y):
    """Return the share of rows that a torch module classifies rightly."""
    model.eval()
    with torch.no_grad():
        return float((model(torch.asarray(X)).argmax(dim=1).numpy() == y).mean())


def main():
    X, y = load_digits(return_X_y=True)
    X = (X / 16.0).astype("float32")
    rows = np.random.default_rng(0).permutation(len(X))
    train, test = rows[:1400], rows[1400:]

    # A model in torch, after a few epochs; it ends in scores, as torch's cross-entropy wants them.
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(64, 48),
        torch.nn.LayerNorm(48),
        torch.nn.SiLU(),
        torch.nn.Dropout(0.1),
        torch.nn.Linear(48, 10),
    )
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), torch.nn.CrossEntropyLoss()
    for batch in np.split(train, 14) * 2:
        optimizer.zero_grad()
        loss(model(torch.asarray(X[batch])), torch.asarray(y[batch])).backward()
        optimizer.step()
    before = accuracy(model, X[test], y[test])

    # Here: the same weights, bit for bit, and the same scores but for roundings.
    net = from_torch(model, output="softmax", backend="numpy")
    assert (np.asarray(net.layers[0].W) == model[0].weight.detach().numpy()).all()
    with torch.no_grad():
        scores = model(torch.asarray(X[test])).numpy()
    print(f"scores differ by at most {np.abs(net.scores(X[test]) - scores).max():.0e}")
    nn.Trainer(net, nn.Adam(2e-3)).fit(X[train], y[train], epochs=30, batch_size=64)

    # And back. The last module is the softmax; without it there are scores again.
    back = to_torch(net)
    assert (back[0].weight.detach().numpy() == np.asarray(net.layers[0].W)).all()
    model.load_state_dict(back[:-1].state_dict())
    after = accuracy(model, X[test], y[test])
    print(f"accuracy of the torch model: {before:.3f} before, {after:.3f} after")
    assert after > 0.95 > before


if __name__ == "__main__":
    main()
