#!/usr/bin/env bash
# Versions:  mlx 0.32.4 with its CPU backend, numpy 2.4.6.
# Behaviour: the mean of int32 numbers is their wrapped int32 sum over their count, as a float:
#            mean(arange(100_000)) is 7,049.8, and two times 2,000,000,000 have a negative mean.
#            std and var subtract it: two equal numbers have a std of 2.1e9. int16 comes to this
#            where the sum passes 2**31; int32 is what arange and array make of Python integers.
#            median of the same numbers, and mean of the same int64 numbers, are right.
# Guess:     a mean that is returned as a float is computed with floats, as by NumPy, and lies
#            between the smallest and the largest number. The docstrings of mean and sum say
#            nothing of integers. (Use astype(float32) first.)
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check "mlx[cpu]==0.32.4" numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import mlx.core as mx
import numpy as np

mx.set_default_device(mx.cpu)
cases = {
    "arange(100_000)": mx.arange(100_000),
    "arange(100_000), int64": mx.arange(100_000).astype(mx.int64),
    "arange(100_000), float32": mx.arange(100_000).astype(mx.float32),
    "[2_000_000_000, 2_000_000_000]": mx.array([2_000_000_000, 2_000_000_000]),
    "100,000 times 30,000, int16": mx.full(100_000, 30_000, dtype=mx.int16),
}

results = {}
for name, values in cases.items():
    print(f"{name} ({values.dtype})")
    for function in ("median", "mean", "std"):
        mlxs = getattr(mx, function)(values).item()
        numpys = float(getattr(np, function)(np.array(values)))
        results[name, function] = mlxs, numpys
        print(f"   {function:7} MLX {mlxs:16,.1f}   NumPy {numpys:16,.1f}")

for name, values in cases.items():
    mean, right = results[name, "mean"]
    if "int64" in name or "float32" in name:
        assert np.isclose(mean, right, rtol=1e-3)
    else:
        wrapped = np.sum(np.array(values), dtype=np.int32) / values.size
        assert np.isclose(mean, wrapped) and not np.isclose(mean, right, rtol=0.5)
    assert np.isclose(*results[name, "median"])
assert results["[2_000_000_000, 2_000_000_000]", "std"][0] > 2e9
EOF
