#!/usr/bin/env bash
# Versions:  scikit-learn 1.9.1, polars 2.1.0, pandas 3.1.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: a null in a polars column of text or booleans is a category of its own to scikit-learn,
#            not a missing value. SimpleImputer leaves it null and adds no indicator (its most
#            frequent value can be None), MissingIndicator says False, OrdinalEncoder passes over
#            encoded_missing_value. Nulls in numeric columns of the same frame are missing, and so
#            are those in pandas' columns of text and booleans. SimpleImputer(missing_values=None)
#            fills the text, but refuses the numbers.
# Guess:     null is polars' one missing value ("In Polars, missing data is always represented by
#            the value null"), and scikit-learn, which takes polars frames, treats a frame's columns
#            alike. SimpleImputer's docstring: "All occurrences of `missing_values` will be
#            imputed", np.nan by default, with no word on polars.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 polars==2.1.0 pandas==3.1.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import pandas as pd
import polars as pl
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import OrdinalEncoder

columns = {
    "city": ["x", None, "y", "x"],
    "open": [True, None, False, True],
    "size": [1.0, None, 3.0, 1.0],
}
frames = {
    "polars": pl.DataFrame(columns),
    "pandas": pd.DataFrame(columns | {"open": pd.array(columns["open"], dtype="boolean")}),
}

results = {}
for library, frame in frames.items():
    for name in columns:
        X = frame[[name]]
        imputed = SimpleImputer(strategy="most_frequent", add_indicator=True).fit_transform(X)
        missing = MissingIndicator(features="all").fit_transform(X)
        encoded = OrdinalEncoder(encoded_missing_value=-1).fit_transform(X)
        results[library, name] = imputed[1].tolist(), bool(missing[1, 0]), float(encoded[1, 0])
        print(
            f"{library}, {name}: row 1 imputed {imputed[1].tolist()!s:13}  "
            f"missing {bool(missing[1, 0])!s:5}  ordinal {encoded[1, 0]:4}"
        )

for name in ("city", "open"):
    assert results["polars", name] == ([None], False, 2.0)
assert results["polars", "size"] == ([1.0, 1.0], True, -1.0)
for name in columns:
    imputed, missing, encoded = results["pandas", name]
    assert len(imputed) == 2 and imputed[0] in ("x", 1.0) and missing and encoded == -1

mostly_null = pl.DataFrame({"city": ["x", None, None]})
filler = SimpleImputer(strategy="most_frequent").fit(mostly_null).statistics_[0]
print("most frequent of x, null, null:", filler)
assert filler is None
with_none = SimpleImputer(strategy="most_frequent", missing_values=None)
assert with_none.fit_transform(frames["polars"][["city"]])[1, 0] == "x"
try:
    with_none.fit_transform(frames["polars"][["size"]])
    refused = False
except ValueError as error:
    refused = "contains NaN" in str(error)
assert refused
EOF
