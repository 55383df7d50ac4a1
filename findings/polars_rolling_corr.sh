#!/usr/bin/env bash
# Versions:  polars 2.1.0, numpy 2.4.6.
# Behaviour: rolling_corr and rolling_cov take mean(x * y) - mean(x) * mean(y) of the numbers as
#            they are, in their own dtype. For Float32 pressures of 1,013 +- 1 the correlations of
#            20 rows err by 0.23, around 10,000 they reach 22, around 100,000 thousands; in Float64
#            they reach 6 around 10^8. rolling_var, which the denominator uses, is right, and so is
#            corr of the same 20 rows by themselves, in Float32 too. No warning.
# Guess:     what corr gives for the rows of each window, between -1 and 1.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    polars==2.1.0 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
import polars as pl

rng = np.random.default_rng(0)
inside = rng.normal(size=1000)
outside = inside + rng.normal(size=1000)
size = 20


def largest_error(found, expected):
    return np.abs(found.to_numpy() - expected)[size - 1 :].max()


for dtype, mean in ((pl.Float32, 0), (pl.Float32, 1_013), (pl.Float32, 10_000),
                    (pl.Float32, 100_000), (pl.Float64, 10_000), (pl.Float64, 100_000_000)):
    data = pl.DataFrame({"x": inside + mean, "y": outside + mean}).cast(dtype)
    correlation, covariance, variance = data.select(
        pl.rolling_corr("x", "y", window_size=size).alias("correlation"),
        pl.rolling_cov("x", "y", window_size=size).alias("covariance"),
        pl.col("x").rolling_var(size).alias("variance"),
    )
    windows = [data[max(0, i - size + 1) : i + 1] for i in range(len(data))]
    alone = np.array([window.select(pl.corr("x", "y")).item() for window in windows])
    exact = [np.cov(window.to_numpy().T.astype(np.float64)) for window in windows[1:]]
    exact = np.array([exact[0] * np.nan, *exact])
    right = exact[:, 0, 1] / np.sqrt(exact[:, 0, 0] * exact[:, 1, 1])

    error = largest_error(correlation, right)
    print(
        f"{dtype} around {mean:11,}: largest error of rolling_corr {error:9.2g} "
        f"({correlation.min():8.3g} to {correlation.max():8.3g}), of "
        f"rolling_cov {largest_error(covariance, exact[:, 0, 1]):8.2g}, of "
        f"rolling_var {largest_error(variance, exact[:, 0, 0]):8.2g}, "
        f"of corr {np.abs(alone - right)[size:].max():8.2g}"
    )
    assert np.abs(alone - right)[size:].max() < 1e-3
    assert largest_error(variance, exact[:, 0, 0]) < 1e-2
    if mean in (0, 1_013) or (dtype, mean) == (pl.Float64, 10_000):
        assert error < 0.5 and (error > 0.1) == (mean == 1_013)
    else:
        assert correlation.max() > 2
EOF
