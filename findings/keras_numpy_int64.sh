#!/usr/bin/env bash
# Versions:  keras 3.15.1 on its NumPy backend, numpy 2.4.6; scipy 1.17.1, jax and jaxlib 0.10.2,
#            which the NumPy backend imports.
# Behaviour: many operations take int64 arrays modulo 2**32, as int32, without a warning: two times
#            in milliseconds from November 2026 have a negative mean, and isin finds 2**32 in [0].
#            sum and max of the same arrays are exact. floatx "float64" and
#            convert_to_tensor(dtype="int64") change nothing.
# Guess:     NumPy has int64, and convert_to_tensor's docstring says "If `None`, the type of `x` is
#            used", so integers keep their values; or else an OverflowError, which
#            convert_to_tensor([2**40]), a Python integer, raises. (Subtract an offset with
#            NumPy first.)
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    keras==3.15.1 scipy==1.17.1 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

KERAS_HOME="$dir" KERAS_BACKEND=numpy "$dir/venv/bin/python" -I - <<'EOF'
import keras
import numpy as np
from keras import ops

keras.config.set_floatx("float64")
times = np.array([1_793_613_600_000, 1_793_613_602_000])  # milliseconds
kept = ops.convert_to_tensor(times, dtype="int64")

print("dtype      ", times.dtype, "->", ops.convert_to_tensor(times).dtype)
print("max        ", ops.max(times), " NumPy:", times.max())
print("sum        ", ops.sum(times), " NumPy:", times.sum())
print("mean       ", ops.mean(times), " NumPy:", times.mean())
print("mean, int64", ops.mean(kept), " (converted with dtype='int64')")
print("add(., 1)  ", ops.add(times, 1), " NumPy:", times + 1)
print("isin       ", ops.isin(np.array([2**32]), np.array([0])), " NumPy:", np.isin([2**32], [0]))
try:
    ops.convert_to_tensor([2**40])
    refused = False
except OverflowError as error:
    refused = True
    print("[2**40]     OverflowError:", error)

assert ops.max(times) == times.max() and ops.sum(times) == times.sum()
assert ops.convert_to_tensor(times).dtype == np.int32 and kept.dtype == np.int64
assert ops.mean(times) == ops.mean(kept) < 0
assert np.isclose(ops.mean(times), times.astype(np.int32).mean())
assert (ops.add(times, 1) == times.astype(np.int32) + 1).all()
assert ops.isin(np.array([2**32]), np.array([0])).all()
assert refused
EOF
