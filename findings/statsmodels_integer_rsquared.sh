#!/usr/bin/env bash
# Versions:  statsmodels 0.15.0, pandas 3.1.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: OLS without a constant adds up the squares of integer targets in their own dtype. For
#            int32 prices around 100,000 R-squared is 2.04 and F -96 with a p-value of 1, where
#            float64 and int64 give 0.998 and 28,569; for int16 R-squared is -1,631. Coefficients,
#            errors and t values are right, with a constant all of it is. No warning.
# Guess:     a least-squares fit counts in floating point, as its coefficients and the formula
#            interface do. rsquared is documented as 1 - ssr/uncentered_tss without a constant,
#            uncentered_tss as "The sum of the squared values", so it can't leave 0 to 1.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    statsmodels==0.15.0 pandas==3.1.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
import pandas as pd
import statsmodels.api as sm

rng = np.random.default_rng(0)
area = rng.integers(40, 200, size=50)
price = area * 900 + rng.integers(-9000, 9000, size=50)

results = {}
for dtype, unit in (("float64", 1), ("int64", 1), ("int32", 1), ("float64", 10), ("int16", 10)):
    frame = pd.DataFrame({"area": area, "price": (price // unit).astype(dtype)})
    fit = sm.OLS(frame["price"], frame[["area"]]).fit()
    with_constant = sm.OLS(frame["price"], sm.add_constant(frame[["area"]])).fit()
    results[dtype, unit] = fit, with_constant
    print(
        f"price / {unit:2} as {dtype:7}  slope {fit.params['area']:8.3f}  "
        f"t {fit.tvalues['area']:6.2f}  R2 {fit.rsquared:11.4f}  F {fit.fvalue:9.2f}  "
        f"p {fit.f_pvalue:7.2g}  R2 with a constant {with_constant.rsquared:.4f}"
    )

for dtype, unit in (("int64", 1), ("int32", 1), ("int16", 10)):
    (fit, with_constant), (right, right_constant) = results[dtype, unit], results["float64", unit]
    assert np.allclose([fit.params, fit.tvalues], [right.params, right.tvalues])
    assert np.isclose(with_constant.rsquared, right_constant.rsquared)
    assert 0 < right.rsquared < 1 and right.f_pvalue < 1e-50
    if dtype == "int64":
        assert np.isclose(fit.rsquared, right.rsquared)
    else:
        assert not 0 <= fit.rsquared <= 1 and fit.fvalue < 0 and fit.f_pvalue == 1
EOF
