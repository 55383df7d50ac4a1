"""
A table with rare positives
===========================

A table of machines, made up but not easy: numbers and categories, missing cells, and failures in
one row of seven. A machine fails where it is hot *and* loaded, or very old without service: a
line through the columns cannot say that. The network stands in a scikit-learn pipeline like any
other estimator, weighs the rare class, stops early, and is compared with logistic regression in
the same pipeline.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    precision_recall_curve,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from nnpoly.estimators.classifier import MLPClassifier
from nnpoly.plotting import BLUE, VERMILION


def machines(n, rng):
    """Return a table of n machines, and which of them failed."""
    table = pd.DataFrame(
        {
            "temperature": rng.normal(60, 12, n),
            "load": rng.uniform(0, 1, n),
            "age": rng.gamma(3, 2, n),
            "maker": rng.choice(["Arno", "Bell", "Crane"], n),
            "service": rng.choice(["none", "yearly", "monthly"], n, p=[0.3, 0.5, 0.2]),
        }
    )
    hot = (table.temperature - 66) / 6 + 1.5 * (table.maker == "Crane")
    overload = np.minimum(hot, (table.load - 0.6) / 0.1)  # both are needed
    neglect = (table.age - 13 - 4 * (table.service == "yearly")) / 2
    neglect = neglect.where(table.service != "monthly", -50)
    failed = rng.logistic(size=n) < 1.5 * np.maximum(overload, neglect) - 1.0
    table.loc[rng.random(n) < 0.05, "temperature"] = np.nan  # a sensor that is sometimes off
    return table, failed.to_numpy()


def pipeline(model):
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = make_column_transformer(
        (numbers, ["temperature", "load", "age"]), (OneHotEncoder(), ["maker", "service"])
    )
    return make_pipeline(columns, model)


def main():
    X, y = machines(8000, np.random.default_rng(0))
    print(X.head(3).to_string(), f"\n{len(X)} rows, {y.mean():.1%} failed")
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    network = MLPClassifier(
        (64, 64),
        class_weight="balanced",
        early_stopping=True,
        learning_rate_init=3e-3,
        alpha=1e-3,
        random_state=0,
    )
    linear = LogisticRegression(class_weight="balanced")
    scores = {}
    _, ax = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for name, model, line in (("linear", linear, "--"), ("network", network, "-")):
        fitted = pipeline(model).fit(X, y)
        risk = fitted.predict_proba(X_test)[:, 1]
        scores[name] = (
            balanced_accuracy_score(y_test, fitted.predict(X_test)),
            average_precision_score(y_test, risk),
        )
        print(f"{name:<8} balanced accuracy %.3f, average precision %.3f" % scores[name])
        precision, recall, _ = precision_recall_curve(y_test, risk)
        ax.plot(recall, precision, line, color=BLUE if line == "-" else VERMILION, label=name)
    print(f"the network stopped after {network.n_iter_} epochs")
    assert network.n_iter_ < network.max_iter
    assert scores["network"][0] > scores["linear"][0] + 0.03
    assert scores["network"][1] > scores["linear"][1] + 0.1

    ax.set(xlabel="recall: failures that are found", ylabel="precision: alarms that are right")
    ax.legend()
    plt.show()


if __name__ == "__main__":
    main()
