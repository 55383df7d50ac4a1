"""Numbers by their quantiles are those of the estimators, without SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri

from nnpoly.estimators.tabular import quantiles as fitted
from nnpoly.exchange.quantiles import by_quantiles, normal_quantile


def test_the_normal_quantile_is_scipy_s() -> None:
    p = np.concatenate([np.linspace(1e-7, 1 - 1e-7, 20001), 10.0 ** np.linspace(-7, -0.31, 2000)])
    wanted = ndtri(p)
    error = np.abs(normal_quantile(np, p) - wanted)
    assert (error <= 4e-15 * np.maximum(np.abs(wanted), 0.1)).all()
    assert normal_quantile(np, np.array([0.0, 1.0])).tolist() == pytest.approx(
        ndtri([1e-7, 1.0 - 1e-7]).tolist(), rel=1e-14
    )


@pytest.mark.parametrize("count", [2, 10, 1000])
@pytest.mark.parametrize("equal", [False, True])
def test_the_map_is_that_of_the_estimators(count: int, equal: bool) -> None:
    rng = np.random.default_rng(count)
    points = np.sort(rng.normal(size=count))
    if equal:
        points = np.round(points)
    x = np.concatenate(
        [points, points[:1] - 1e-8, rng.normal(size=500), [1e308, -1e308, 0, np.nan]]
    )
    x = x / 1.7 + 0.3
    given = 0.3, 1.7, points
    wanted = fitted.by_quantiles(x.copy(), *given)
    found = by_quantiles(np, x, 0.3, 1.7, points.tolist())
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-12)
