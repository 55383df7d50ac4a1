"""First mistakes, each with the message that answers it: read each line against its mistake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

import nnpoly as nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
Y = (X[:, 0] > 0).astype(int)
TEXTS = np.where(Y, "yes", "no")
TOWNS = {"size": X[:, 0], "town": ["Rome", "Oslo"] * 20}


def net(**options: Any) -> nn.MLP:
    return nn.MLP([2, 4, 2], **options)


def fit(X: Any = X, y: Any = Y, output: str = "softmax", **options: Any) -> Any:
    widths = [2, 4, 2 if output == "softmax" else 1]
    return nn.Trainer(nn.MLP(widths, output=output)).fit(X, y, epochs=1, **options)


ENCODE = (
    "Encode other labels: labels = nn.OneHot.fit(y), and train with labels.indices(y); "
    "labels.decode(net.classify(X)) gives them back."
)
TEXT_COLUMNS = (
    "nn.tables.fit and the RealMLP and TabM of nn.estimators take columns of texts as they are."
)
OPTIMIZERS = "adagrad, adam, adamw, amsgrad, lion, nadam, rmsprop, sgd"
SCORES = (
    "accuracy, average_precision, balanced_accuracy, f1, log_loss, matthews, precision, recall, "
    "roc_auc"
)

# The mistake, and the message: its whole text, or its end after "...".
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "y forgotten": (
        lambda: nn.Trainer(net()).fit(X),
        "Trainer.fit: `y` is missing. Pass the targets, one for each row of X.",
    ),
    "y forgotten, by an ensemble": (
        lambda: nn.Ensemble([nn.Trainer(net())]).fit(X),
        "Ensemble.fit: `y` is missing. Pass the targets, one for each row of X; sources of batches "
        "are for Trainer.fit.",
    ),
    "texts in a frame of pandas": (
        lambda: fit(pd.DataFrame(TOWNS)),
        "... Encode categories first (nn.one_hot), or make objects numbers: .astype(float). "
        + TEXT_COLUMNS,
    ),
    "texts in a frame of polars": (
        lambda: fit(pl.DataFrame(TOWNS)),
        "Trainer.fit: `X['town']` must hold real numbers, got dtype String. Encode categories "
        f"first (nn.one_hot). {TEXT_COLUMNS}",
    ),
    "dates in a frame": (
        lambda: fit(pl.DataFrame({"a": X[:, 0], "day": pd.date_range("2020", periods=40)})),
        "... Turn dates into numbers first, such as the days since one of them.",
    ),
    "sparse rows where dense ones are needed": (
        lambda: nn.estimators.RealMLPClassifier().fit(scipy.sparse.csr_array(X), Y),
        "RealMLPClassifier.fit: `X` must be dense, got a sparse matrix. Pass X.toarray().",
    ),
    "text labels": (
        lambda: fit(y=TEXTS),
        "Trainer.fit: `y` must hold integer class indices 0..1, or one-hot rows, got dtype <U3. "
        + ENCODE,
    ),
    "text labels of a sigmoid": (
        lambda: fit(y=TEXTS, output="sigmoid"),
        f"Trainer.fit: `y` must hold 0 and 1, or probabilities, got dtype <U3. {ENCODE}",
    ),
    "labels that count from 1": (
        lambda: fit(y=Y + 1),
        "Trainer.fit: `y` must hold class indices 0..1, got values from 1 to 2. The network has 2 "
        "outputs; encode other labels with nn.OneHot.",
    ),
    "a regression with the default output": (
        lambda: fit(y=np.full(40, 0.25)),
        "Trainer.fit: `y` must hold integer class indices 0..1, or one-hot rows, got 0.25 in row "
        "0. For targets that are numbers make the network with output='identity'.",
    ),
    "a regression's single output with the default": (
        lambda: nn.MLP([2, 4, 1]),
        "MLP: `output` 'softmax' needs at least two outputs, got one, which would be 1 for every "
        "input. For two classes take two outputs, or output='sigmoid'; for a number "
        "output='identity'.",
    ),
    "one sample": (
        lambda: net()(X[0]),
        "MLP: `X` must have shape (n, 2), got (2,). For one sample pass X[None, :].",
    ),
    "images": (
        lambda: nn.MLP([4, 2])(np.zeros((5, 2, 2))),
        "MLP: `X` must have shape (n, 4), got (5, 2, 2). Flatten each sample: X.reshape(len(X), "
        "-1).",
    ),
    "an optimiser's typo": (
        lambda: nn.Trainer(net(), "adma"),
        f"Trainer: `optimizer` must be one of {OPTIMIZERS}, got 'adma'. Did you mean 'adam'?",
    ),
    "an optimiser without a rate": (
        lambda: nn.Trainer(net(), "sgd"),
        "Trainer: `optimizer` 'sgd' has no learning rate of its own. Give it one, such as "
        "nn.SGD(0.01).",
    ),
    "torch's name of the rate": (lambda: nn.Adam(lr=1e-3), "... Did you mean 'learning_rate'?"),
    "an argument's typo": (
        lambda: nn.Dense(2, 2, actvation="relu"),
        "... Did you mean 'activation'?",
    ),
    "an activation's typo": (lambda: net(activation="rellu"), "... Did you mean 'relu'?"),
    "an activation's other spelling": (
        lambda: net(activation="LeakyReLU"),
        "... Did you mean 'leaky_relu'?",
    ),
    "an output's typo": (lambda: net(output="sofmax"), "... Did you mean 'softmax'?"),
    "an initialiser cut short": (
        lambda: net(init="xavier"),
        "... Did you mean 'xavier_normal'?",
    ),
    "a loss's other spelling": (
        lambda: nn.Trainer(net(), loss="crossentropy"),
        "... Did you mean 'cross_entropy'?",
    ),
    "a backend's typo": (lambda: net(backend="tourch"), "... Did you mean 'torch'?"),
    "a metric's typo": (
        lambda: fit(metrics="acuracy"),
        f"Trainer.fit: `metrics[0]` must be one of {SCORES}, got 'acuracy'. Did you mean "
        "'accuracy'?",
    ),
    "a metric of another output": (
        lambda: fit(metrics="r2"),
        "Trainer.fit: `metrics[0]` must be of a network with output='softmax', got 'r2'. Its "
        f"metrics are {SCORES}.",
    ),
    "Keras's name of the validation loss": (
        lambda: nn.callbacks.EarlyStopping(3, monitor="val_loss"),
        "... Did you mean 'validation_loss'?",
    ),
    "a record cut short": (
        lambda: fit(
            metrics="accuracy",
            callbacks=nn.callbacks.EarlyStopping(3, monitor="acc", mode="max"),
        ),
        "EarlyStopping: `monitor` must be one of what this fit records, loss, accuracy, got 'acc'. "
        "Did you mean 'accuracy'?",
    ),
    "a monitor by position": (
        lambda: nn.callbacks.EarlyStopping(5, "accuracy"),
        "EarlyStopping: `min_delta` must be a number >= 0, got 'accuracy'. The record to watch is "
        "given by name: monitor='accuracy'.",
    ),
    "a callback's class": (
        lambda: fit(callbacks=nn.callbacks.EarlyStopping),
        "Trainer.fit: `callbacks[0]` must be an object, got the class EarlyStopping. Make one of "
        "it: EarlyStopping(...).",
    ),
    "a solver's typo": (
        lambda: nn.estimators.MLPClassifier(solver="adma").fit(X, Y),
        "... got 'adma'. Did you mean 'adam'?",
    ),
    "an estimator's loss cut short": (
        lambda: nn.estimators.MLPRegressor("squared").fit(X, Y),
        "... Did you mean 'squared_error'?",
    ),
    "a model's typo": (
        lambda: nn.tables.fit(pl.DataFrame(TOWNS), "town", model="relmlp"),
        "fit: `model` must be one of mlp, realmlp, tabm, got 'relmlp'. Did you mean 'realmlp'?",
    ),
    "a column's typo": (
        lambda: nn.tables.fit(pl.DataFrame(TOWNS), "twon"),
        "Table: the frame has no column 'twon': the closest is 'town'.",
    ),
    "a curve's name cut short": (
        lambda: nn.plotting.history(fit(metrics="accuracy"), metrics="acc"),
        "history: `metrics` must name metrics of the history (accuracy), got 'acc'. Did you mean "
        "'accuracy'?",
    ),
    "a record's name in Keras": (
        lambda: fit(validation=0.5)["val_loss"],
        "... Did you mean 'validation_loss'?\"",
    ),
    "a share in percent": (
        lambda: fit(validation=20),
        "Trainer.fit: `validation` as a number must be a share of the rows between 0 and 1, such "
        "as 0.2, got 20. Rows of your own are held out as (X, y).",
    ),
    "a class's typo": (lambda: nn.Adma, "module 'nnpoly' has no attribute 'Adma'. Did you mean "),
    "an attribute that is none": (
        lambda: setattr(nn.Trainer(net()), "lr", 0.1),
        "Trainer: `lr` cannot be assigned, since Trainer has no such attribute. Did you mean "
        "'learning_rate'? What can be assigned is learning_rate, rate_factor and optimizer.",
    ),
    "classes of a regression": (
        lambda: nn.MLP([2, 1], output="identity").classify(X),
        "MLP.classify: the output 'identity' has no classes; its predictions are net(X). For "
        "classes make the network with output='softmax' or output='sigmoid'.",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_the_message_of_a_mistake(mistake):
    call, message = MISTAKES[mistake]
    with pytest.raises((ValueError, TypeError, AttributeError, KeyError)) as caught:
        call()
    found = str(caught.value)
    if message.startswith("... "):
        assert found.endswith(message[4:])
    else:
        assert found.startswith(message)


def test_what_is_no_mistake():
    """Truth values, columns and sparse rows are taken."""
    for y in (Y.astype(bool), Y[:, None], Y[:, None] == 1, Y.astype(float)):
        assert fit(y=y) == fit()
    assert len(fit(scipy.sparse.csr_array(X))) == 1
