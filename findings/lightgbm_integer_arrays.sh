#!/usr/bin/env bash
# Versions:  lightgbm 4.7.0, pandas 3.1.1, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: NumPy arrays of integers are rounded to float32, whatever their width, in fit and in
#            predict; float64 arrays keep their bits, and so do the same integers in a data frame.
#            This year's times in seconds become multiples of 128: a model that was fitted on a
#            data frame of int64 gives other answers near a split for frame.to_numpy(). No warning
#            speaks of it.
# Guess:     integers below 2**53 are what float64 and a data frame make of them; fit's docstring
#            lists "numpy array, pandas DataFrame" and "list of lists of int or float" as equals.
#            (Convert integers that can pass 2**24 with astype("float64").)
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    lightgbm==4.7.0 pandas==3.1.1 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I -W ignore::UserWarning - <<'EOF'
import numpy as np
import pandas as pd
from lightgbm import LGBMRegressor

times = 1_793_613_600 + np.arange(200)  # seconds; the target changes in the middle
y = (np.arange(200) >= 100).astype(float)
frame = pd.DataFrame({"time": times})
integers = frame.to_numpy()
inputs = {"frame": frame, "int64": integers, "float64": integers.astype(np.float64)}

worst = {}
for fitted_on, X in inputs.items():
    model = LGBMRegressor(
        n_estimators=30, learning_rate=0.5, min_child_samples=1, min_data_in_bin=1,
        n_jobs=1, verbose=-1,
    ).fit(X, y)
    for given, rows in inputs.items():
        predictions = model.predict(rows)
        worst[fitted_on, given] = error = np.abs(predictions - y).max()
        near = " ".join(f"{p:.2f}" for p in predictions[97:103])
        print(f"fitted on {fitted_on:8} given {given:8} rows 97-102: {near}  worst {error:.3f}")

for fitted_on in ("frame", "float64"):
    assert worst[fitted_on, "frame"] < 1e-6 and worst[fitted_on, "float64"] < 1e-6
    assert worst[fitted_on, "int64"] > 0.99
assert worst["int64", "int64"] > 0.5
EOF
