"""Twenty tasks of a first hour, each in at most five lines, of names that README has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from paths import ROOT

import nnpoly as nn

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(300, 2))
LABELS = (ROWS[:, 0] * ROWS[:, 1] > 0).astype(int)
NAMES = np.where(LABELS == 1, "inside", "outside")

# The task, its lines, and what must hold after them, as an expression.
TASKS: dict[str, tuple[str, str]] = {
    "train a classifier on a frame of numbers": (
        """
net = nn.MLP([2, 32, 2])
history = nn.Trainer(net, nn.Adam(0.02)).fit(frame, y, epochs=40)
""",
        "history['loss'][-1] < 0.3 < history['loss'][0]",
    ),
    "class labels of new rows": (
        """
nn.Trainer(net, nn.Adam(0.02)).fit(X, y, epochs=40)
classes = net.classify(new)
""",
        "classes.tolist() == net(new).argmax(axis=1).tolist()",
    ),
    "probabilities of new rows": (
        """
nn.Trainer(net).fit(X, y)
probabilities = net(new)
""",
        "np.allclose(probabilities.sum(axis=1), 1.0) and probabilities.shape == (len(new), 2)",
    ),
    "the accuracy on rows that were held out": (
        """
trainer = nn.Trainer(net, nn.Adam(0.02))
trainer.fit(X[:200], y[:200], epochs=60)
accuracy = nn.metrics.score(net, X[200:], y[200:], "accuracy")["accuracy"]
""",
        "accuracy == (net.classify(X[200:]) == y[200:]).mean() > 0.9",
    ),
    "a regression and its R^2": (
        """
net = nn.MLP([2, 32, 1], output="identity")
nn.Trainer(net, nn.Adam(0.02)).fit(X, X[:, 0] * 2, epochs=30)
r2 = nn.metrics.score(net, X, X[:, 0] * 2, "r2")["r2"]
""",
        "r2 > 0.95",
    ),
    "labels that are texts": (
        """
labels = nn.OneHot.fit(names)
nn.Trainer(net, nn.Adam(0.02)).fit(X, labels.indices(names), epochs=60)
found = labels.decode(net.classify(X))
""",
        "(found == names).mean() > 0.9",
    ),
    "save, and load": (
        """
nn.Trainer(net).fit(X, y)
net.save("net.safetensors")
again = nn.load("net.safetensors")
""",
        "np.array_equal(again(X), net(X))",
    ),
    "plot the training curve": (
        """
history = nn.Trainer(net).fit(X, y, validation=0.2)
nn.plotting.history(history).figure.savefig("curve.png")
""",
        "Path('curve.png').stat().st_size > 1000",
    ),
    "hold out a fifth of the rows": (
        """
history = nn.Trainer(net).fit(X, y, epochs=3, validation=0.2)
""",
        "len(history['validation_loss']) == 3",
    ),
    "stop early and keep the best epoch": (
        """
trainer = nn.Trainer(net, nn.Adam(0.1))
stop = nn.callbacks.EarlyStopping(patience=5)
history = trainer.fit(X[:200], y[:200], epochs=200, validation=(X[200:], y[200:]), callbacks=stop)
""",
        "len(history) < 200 and np.isclose(trainer.evaluate(X[200:], y[200:]), stop.best)",
    ),
    "set the learning rate between two fits": (
        """
trainer = nn.Trainer(net, nn.Adam(0.01))
trainer.fit(X, y)
trainer.learning_rate = 0.001
trainer.fit(X, y)
""",
        "np.isclose(trainer.learning_rate, 0.001) and trainer.t == 200",
    ),
    "a learning rate that falls": (
        """
trainer = nn.Trainer(net, nn.Adam(nn.schedules.Cosine(0.01, steps=100)))
trainer.fit(X, y, epochs=10)
""",
        "trainer.learning_rate < 0.001",
    ),
    "how many parameters": (
        """
count = net.parameter_count
table = net.summary()
""",
        "count == 162 and '162' in table",
    ),
    "the history as a frame": (
        """
history = nn.Trainer(net).fit(X, y, validation=0.2, metrics="accuracy")
frame = history.frame()
other = pandas.DataFrame(dict(history))
""",
        "frame.columns[1:] == list(other) == ['loss', 'validation_loss', 'accuracy']",
    ),
    "an optimiser by name, accuracy after each epoch": (
        """
history = nn.Trainer(net, "adam").fit(X, y, metrics="accuracy")
""",
        "len(history['accuracy']) == 10",
    ),
    "weights for a rare class": (
        """
weights = np.where(y == 1, 20.0, 1.0)
nn.Trainer(net, nn.Adam(0.02)).fit(X, y, epochs=30, sample_weight=weights)
""",
        "net.classify(X)[y == 1].mean() > 0.95",
    ),
    "dropout and weight decay": (
        """
layers = [nn.Dense(2, 32, "relu"), nn.Dropout(0.2), nn.Dense(32, 2)]
net = nn.Network(layers, output="softmax")
history = nn.Trainer(net, nn.AdamW(0.01, weight_decay=0.01)).fit(X, y)
""",
        "history['loss'][-1] < history['loss'][0]",
    ),
    "go on after an interruption": (
        """
for epochs in (2, 5):  # the script runs twice
    trainer = nn.Trainer(nn.MLP([2, 32, 2]))
    saved = nn.callbacks.Checkpoint("run.safetensors")
    history = trainer.fit(X, y, epochs, callbacks=saved, resume="run.safetensors")
""",
        "trainer.t == 50 and history == nn.Trainer(nn.MLP([2, 32, 2])).fit(X, y, 5)",
    ),
    "a table with texts and missing cells": (
        """
model = nn.estimators.RealMLPClassifier(n_epochs=3, random_state=0).fit(table, names)
found = model.predict(table)
""",
        "set(found) <= set(names)",
    ),
    "cross-validate and search": (
        """
model = nn.estimators.MLPClassifier((8,), early_stopping=True)
scores = cross_val_score(model, X, y, cv=3)
best = GridSearchCV(model, {"alpha": [1e-4, 1.0]}, cv=3).fit(X, y).best_params_
""",
        "len(scores) == 3 and best['alpha'] in (1e-4, 1.0)",
    ),
}
OF_RULES = {"n_epochs", "random_state"}  # of a test that shall be short


@pytest.mark.parametrize("task", TASKS)
def test_a_first_task(task, monkeypatch, tmp_path):
    from sklearn.model_selection import GridSearchCV, cross_val_score

    monkeypatch.chdir(tmp_path)
    lines, holds = TASKS[task]
    town = [None if i % 7 == 0 else ("Rome", "Oslo")[i % 2] for i in range(300)]
    names: dict[str, Any] = {
        "nn": nn,
        "np": np,
        "pandas": pd,
        "Path": Path,
        "GridSearchCV": GridSearchCV,
        "cross_val_score": cross_val_score,
        "X": ROWS,
        "y": LABELS,
        "names": NAMES,
        "new": ROWS[:7] + 0.1,
        "frame": pd.DataFrame(ROWS, columns=["a", "b"]),
        "table": pl.DataFrame({"a": ROWS[:, 0], "b": ROWS[:, 1], "town": town}),
        "net": nn.MLP([2, 32, 2], seed=0),
    }
    exec(lines, names)
    assert eval(holds, names), holds


def test_they_are_twenty_of_at_most_five_lines():
    assert len(TASKS) == 20
    assert [task for task, (lines, _) in TASKS.items() if len(lines.strip().splitlines()) > 5] == []


@pytest.mark.parametrize("task", TASKS)
def test_readme_has_every_name(task):
    """Attributes, functions and arguments by name."""
    readme = (ROOT / "README.md").read_text()
    used = set(re.findall(r"\.([a-zA-Z]\w+)|\b(\w+)=(?!=)", TASKS[task][0]))
    names = {a or b for a, b in used} - OF_RULES - {"DataFrame"}
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", readme)) == []
