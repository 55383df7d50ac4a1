#!/usr/bin/env bash
# Versions:  optuna 5.0.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: choices that compare equal, as 1, 1.0 and True do, are stored as the first of them. The
#            objective is handed 1.0; trial.params and best_params say 1. Fitted again with
#            best_params, a bagging model gets max_samples=1, one row a tree, where the best trial
#            had all of them. to_internal_repr looks up choices.index(value), and a comment there
#            accepts that; the documentation recommends None, bool, int, float and str as types of
#            the choices and says nothing of it.
# Guess:     best_params is what the best trial was handed: "Return parameters of the best trial".
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    optuna==5.0.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import optuna
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import cross_val_score

optuna.logging.set_verbosity(optuna.logging.ERROR)
X, y = load_breast_cancer(return_X_y=True)
handed = []


def score(max_samples):
    model = BaggingClassifier(n_estimators=10, max_samples=max_samples, random_state=0)
    return cross_val_score(model, X, y, cv=3).mean()


def objective(trial):
    handed.append(trial.suggest_categorical("max_samples", [1, 0.05, 1.0]))
    return score(handed[-1])


study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
study.optimize(objective, n_trials=12)
best = handed[study.best_trial.number]
print("handed to the trials:", handed)
print("their trial.params:  ", [trial.params["max_samples"] for trial in study.trials])
print(f"best trial:           max_samples={best!r} {study.best_value:.3f}")
print(f"best_params:          {study.best_params} {score(**study.best_params):.3f}")

assert isinstance(best, float) and best == 1 and {type(value) for value in handed} == {int, float}
assert isinstance(study.best_params["max_samples"], int)
assert score(**study.best_params) < study.best_value - 0.2
EOF
