"""The standard normal distribution function, which GELU needs and the array API lacks.

For u = |z| the upper tail is exp(-u^2 / 2) q(u), where q(u) = erfcx(u / sqrt 2) / 2 falls smoothly
from 1/2 to 0. In t = (u - 4) / (u + 4), which maps [0, inf) onto [-1, 1), q is a short polynomial:
the truncated Chebyshev series of q, computed with 50 digits and converted to powers of t. The
series of 11 terms is good to float32 and that of 24 terms to float64, as
`tests/vocabulary/test_activations.py` measures against mpmath.
"""

from __future__ import annotations

CENTRE = 4.0
# Beyond this the density underflows in float64; clamping keeps u^2 finite in every float type.
FARTHEST = 40.0

SINGLE = (
    0.09441064260748247,
    -0.1703976894669538,
    0.12437916006397212,
    -0.07170805958047266,
    0.030865937056417783,
    -0.008488349618920317,
    0.0005025865374741987,
    0.0006298726324926129,
    -0.00017711176832157545,
    -3.5776685043746024e-05,
    1.8786717652412837e-05,
)

DOUBLE = (
    0.09441064130196893,
    -0.17039772154845542,
    0.12437925533926537,
    -0.07170740733773803,
    0.03086480410622515,
    -0.008492095482084967,
    0.000507562076799988,
    0.0006388138514064342,
    -0.00018718428669896724,
    -4.5554892640417344e-05,
    2.8648442798579606e-05,
    4.631555015543092e-06,
    -4.303904346491218e-06,
    -8.294129430235673e-07,
    6.62297108753446e-07,
    2.0602260013457762e-07,
    -9.534702277947434e-08,
    -5.2845602685133334e-08,
    1.0479978903484804e-08,
    1.192568322987461e-08,
    -4.583989356967971e-10,
    -2.0206904361824695e-09,
    -4.767851228809609e-11,
    1.8544963358123816e-10,
)


def coefficients(eps: float) -> tuple[float, ...]:
    """Return the coefficients of q in powers of t, lowest first, for a machine epsilon of `eps`."""
    return SINGLE if eps > 1e-8 else DOUBLE
