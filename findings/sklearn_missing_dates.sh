#!/usr/bin/env bash
# Versions:  scikit-learn 1.9.1, pandas 3.1.1, polars 2.1.0, pyarrow 26.0.1, scipy 1.17.1,
#            numpy 2.4.6.
# Behaviour: dates are taken as numbers, and a missing one (NaT in pandas and NumPy, null in polars)
#            as -9.2e18. One makes StandardScaler and MinMaxScaler map all other dates to the same
#            value, SimpleImputer and KNNImputer leave it in, and LinearRegression fits it: no
#            error, no warning. With a column of floats beside the dates, polars' null is NaN and
#            is imputed, and pandas raises.
# Guess:     an error for dates, as SimpleImputer(strategy="most_frequent") has it ("does not
#            support data with dtype datetime64"), or else NaN for NaT: imputed, or refused with
#            "Input X contains NaN". The docstrings don't speak of dates.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 pandas==3.1.1 polars==2.1.0 pyarrow==26.0.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I -W error - <<'EOF'
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import MinMaxScaler, StandardScaler

dates = [date(2020, 1, 1), None, date(2023, 1, 1), date(2026, 1, 1)]
tables = {
    "pandas": pd.DataFrame({"when": pd.to_datetime(dates)}),
    "polars": pl.DataFrame({"when": dates}),
    "NumPy": np.array(dates, dtype="datetime64[D]")[:, None],
}
estimators = {
    "StandardScaler": StandardScaler(),
    "MinMaxScaler": MinMaxScaler(),
    "SimpleImputer": SimpleImputer(),
    "KNNImputer": KNNImputer(),
}

print("dates", [str(d) for d in dates])
for library, X in tables.items():
    for name, estimator in estimators.items():
        values = np.asarray(estimator.fit_transform(X))[:, 0]
        print(f"   {library}, {name:14}", *(f"{v:.6g}" for v in values))
        if "Scaler" in name:
            assert np.isclose(values[0], values[3], atol=1e-4) and values[1] < values[0] - 0.9
        else:
            assert values[1] == -(2.0**63)
    print(f"   {library}, LinearRegression", LinearRegression().fit(X, [1, 2, 3, 4]).coef_)

try:
    SimpleImputer(strategy="most_frequent").fit(tables["pandas"])
    refused = False
except ValueError as error:
    refused = "does not support data with dtype datetime64" in str(error)
assert refused
try:
    SimpleImputer().fit(tables["pandas"].assign(size=1.0))
    refused = False
except TypeError:
    refused = True
assert refused

beside = pl.DataFrame({"when": dates, "size": [1.0, 2.0, 3.0, 4.0]})
filled = SimpleImputer().fit_transform(beside)
print("polars, with a column of floats, SimpleImputer:", filled[:, 0].tolist())
assert filled[1, 0] == filled[[0, 2, 3], 0].mean()
EOF
