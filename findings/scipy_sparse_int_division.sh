#!/usr/bin/env bash
# Versions:  scipy 1.17.1, numpy 2.4.6.
# Behaviour: dividing a lil_array or dok_array of integers by an integer gives integers, cut
#            towards 0: counts divided by their total are all 0. The other formats give floats. A
#            dok_array keeps the fractions inside: r[0, 1] is 1.5 where r.toarray()[0, 1] is 1.
#            The same holds for lil_matrix and dok_matrix, and for booleans.
# Guess:     `/` is the true division, as for csr_array and NumPy; the formats differ in speed.
#            Their docstrings: "Sparse arrays can be used in arithmetic operations: they support
#            addition, subtraction, multiplication, division, and matrix power."
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
from scipy import sparse

counts = np.array([[0, 3, 7], [1, 0, 0]])
total = counts.sum()
halves, shares = counts / 2, counts / total
print("counts", counts.tolist())
print(f"   {'NumPy':9} / 2  {halves.tolist()}")
for name in ("csr", "csc", "coo", "bsr", "dia", "lil", "dok"):
    A = getattr(sparse, name + "_array")(counts)
    by_2, by_total = (A / 2).toarray(), (A / total).toarray()
    print(f"   {name + '_array':9} / 2  {by_2.tolist()}  / {total}  {by_total.round(3).tolist()}")
    if name in ("lil", "dok"):
        assert by_2.dtype == counts.dtype and (by_2 == [[0, 1, 3], [0, 0, 0]]).all()
        assert not by_total.any()
        assert ((A / 2.0).toarray() == halves).all()
    else:
        assert (by_2 == halves).all() and np.allclose(by_total, shares)

r = sparse.dok_array(counts) / 2
print("dok_array / 2: element [0, 1] is", r[0, 1], "and in toarray()", r.toarray()[0, 1])
assert r[0, 1] == 1.5 and r.toarray()[0, 1] == 1
EOF
