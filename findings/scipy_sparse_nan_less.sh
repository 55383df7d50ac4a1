#!/usr/bin/env bash
# Versions:  scipy 1.17.1, numpy 2.4.6.
# Behaviour: in sparse arrays a stored NaN is less than every positive number and greater than
#            every negative one: A < 2 and A > -1 are True for it. A <= 0 and A >= 0 are both True,
#            A < 0 and A > 0 both False. Between two arrays <= and >= are True where either is
#            NaN. Comparisons that hold for the zeros are computed as their opposite's complement.
# Guess:     NaN compares False, as in NumPy and in A.toarray() < 2; scipy.sparse's own == and !=
#            follow that. The efficiency warnings of A < 2 speak of time only.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I -W ignore - <<'EOF'
import operator

import numpy as np
from scipy import sparse

dense = np.array([[np.nan, 0.0, 1.0, -3.0]])
A = sparse.csr_array(dense)
comparisons = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
               "==": operator.eq, "!=": operator.ne}  # fmt: skip

print("A", dense[0].tolist())
wrong = []
for other in (2, 0, -1):
    for sign, compare in comparisons.items():
        ours, numpys = compare(A, other).toarray()[0], compare(dense, other)[0]
        assert (ours[1:] == numpys[1:]).all()  # the numbers
        if ours[0] != numpys[0]:
            wrong.append(f"{sign} {other}")
            print(f"   A {sign:2} {other:2}  sparse {ours.tolist()}  NumPy {numpys.tolist()}")
print("mean of A < 2:", (A < 2).mean(), " NumPy:", (dense < 2).mean())

assert wrong == ["< 2", "<= 2", "<= 0", ">= 0", "> -1", ">= -1"]
pair = [compare(A, A).toarray()[0, 0] for compare in comparisons.values()]
print("A with itself, the NaN:", dict(zip(comparisons, map(bool, pair), strict=True)))
assert pair == [False, True, False, True, False, True]
for name in ("csc", "coo", "lil", "dok", "bsr"):
    assert (getattr(sparse, name + "_array")(dense) < 2).toarray()[0, 0]
EOF
