#!/usr/bin/env bash
# Versions:  scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: PCA of float32 data depends on how far their mean is from 0. For three independent
#            columns with standard deviations of 10, 3 and 1 around 100,000 (pressures in pascals,
#            say), the first variance is several times too large and the others vanish. With ten
#            rows a column and more, the default solver takes X.T @ X of the data as they are, in
#            float32, and subtracts the mean's part afterwards. svd_solver="full", float64, or
#            subtracting the mean first give the right answer. No warning.
# Guess:     PCA's docstring: "The input data is centered but not scaled for each feature before
#            applying the SVD", and of the solver "covariance_eigh": "Precompute the covariance
#            matrix (on centered data)". (It warns of "a large range of singular values"; the
#            centred data here have a range of 10.)
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
from sklearn.decomposition import PCA

noise = np.random.default_rng(0).normal(size=(1000, 3)) * [10, 3, 1]


def variances(X, **options):
    return PCA(**options).fit(X).explained_variance_


for mean in (0, 1_000, 10_000, 100_000):
    X = (noise + mean).astype(np.float32)
    found = {
        "PCA()": variances(X),
        'PCA(svd_solver="full")': variances(X, svd_solver="full"),
        "PCA(), float64": variances(X.astype(np.float64)),
        "PCA(), X - X.mean(axis=0)": variances(X - X.mean(axis=0)),
    }
    print(f"standard deviations 10, 3, 1 around {mean:,}: variances")
    for name, values in found.items():
        print(f"   {name:26}", *(f"{v:9.2f}" for v in values))

    default, *others = found.values()
    right = np.linalg.eigvalsh(np.cov(X.T.astype(np.float64)))[::-1]
    for values in others:
        assert np.allclose(values, right, rtol=0.01)
    if mean == 0:
        assert np.allclose(default, right, rtol=0.01)
    if mean == 100_000:
        assert default[0] > 2 * right[0] or default[2] < right[2] / 2
EOF
