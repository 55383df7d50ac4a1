#!/usr/bin/env bash
# Versions:  scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: max_error and median_absolute_error subtract in the arrays' own dtype, in opposite
#            order. For uint8 (pixels, say) max_error gives 255 where predictions are 1 too high,
#            median_absolute_error where they are 1 too low; for int8 both give 56 for 200.
#            mean_absolute_error of the same arrays is right.
# Guess:     all three count in float, as mean_absolute_error and mean_squared_error do, and
#            swapping targets and predictions changes nothing.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
from sklearn.metrics import max_error, mean_absolute_error, median_absolute_error


def show(targets, predictions, dtype):
    y_true, y_pred = np.array(targets, dtype), np.array(predictions, dtype)
    print(f"{dtype}: targets {targets}, predictions {predictions}")
    values = []
    for error in (max_error, median_absolute_error, mean_absolute_error):
        values.append(float(error(y_true, y_pred)))
        print(f"   {error.__name__:22} {values[-1]}")
    return values


assert show([1, 7, 9], [2, 8, 10], "float64") == [1, 1, 1]
assert show([1, 7, 9], [2, 8, 10], "uint8") == [255, 1, 1]
assert show([2, 8, 10], [1, 7, 9], "uint8") == [1, 255, 1]
assert show([100, 100], [-100, -100], "int8") == [56, 56, 200]
EOF
