#!/usr/bin/env bash
# Versions:  datasets 5.2.0, pyarrow 26.0.1, numpy 2.4.6.
# Behaviour: class_encode_column turns integers into text and sorts the text. Labels from 0 to 11
#            keep 0 and 1, 2 becomes 4 and 10 becomes 2; those up to 9 stay as they are. Signed
#            and real numbers are in the order of their text as well. The labels' names hold the
#            numbers, but the column, with_format("numpy") and a model see the codes. No warning.
# Guess:     integers from 0 to 11 are classes already and stay as they are; others are numbered in
#            their order, as by scikit-learn's LabelEncoder. The docstring: "Casts the given column
#            as ClassLabel and updates the table."
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    datasets==5.2.0 pyarrow==26.0.1 numpy==2.4.6

HF_HOME="$dir" HF_HUB_OFFLINE=1 "$dir/venv/bin/python" -I - <<'EOF'
import datasets
import numpy as np


def encoded(values):
    data = datasets.Dataset.from_dict({"label": values}).class_encode_column("label")
    print(f"{values}\n   -> {data['label'][:]}\n   names {data.features['label'].names}")
    return np.asarray(data.with_format("numpy")["label"][:]).tolist()


datasets.disable_progress_bars()
months = encoded(list(range(12)))
assert encoded(list(range(10))) == list(range(10))
ratings = encoded([-2, -1, 0, 1, 2])
scores = encoded([2.5, 10.0, 100.0])
assert months == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 2, 3]
assert ratings == [1, 0, 2, 3, 4] and scores == [2, 0, 1]
EOF
