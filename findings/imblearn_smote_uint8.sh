#!/usr/bin/env bash
# Versions:  imbalanced-learn 0.14.2, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: SMOTE of uint8 images doesn't interpolate. It takes the difference of two neighbours in
#            uint8 (_generate_samples), so a pixel that is darker by 15 counts as brighter by 241: a
#            quarter of the synthetic grey levels are not those that the same images, neighbours
#            and random state give as float64, by up to 254; a tenth leave the range that their
#            class has. The result is uint8 again; BorderlineSMOTE likewise. No warning.
# Guess:     samples between two real ones, rounded to uint8 as int64 ones are to int64:
#            fit_resample takes any "array-like", and the neighbours are searched in floats.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    imbalanced-learn==0.14.2 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
from imblearn.over_sampling import SMOTE, BorderlineSMOTE
from sklearn.datasets import load_digits

images, labels = load_digits(return_X_y=True)
images = images * 15  # grey levels from 0 to 240, as a PNG holds them
kept = (labels != 3) | (np.arange(labels.size) % 8 == 0)
images, labels = images[kept], labels[kept]
threes = images[labels == 3]

for sampler in (SMOTE, BorderlineSMOTE):
    made = {}
    for dtype in (np.float64, np.int64, np.uint8):
        X, y = sampler(random_state=0).fit_resample(images.astype(dtype), labels)
        new = X[labels.size :][y[labels.size :] == 3]
        made[dtype] = new.astype(float)
        within = (new >= threes.min(axis=0)) & (new <= threes.max(axis=0))
        error = np.abs(made[dtype] - made[np.float64])
        print(
            f"{sampler.__name__:15} {np.dtype(dtype)!s:7} {len(new)} new threes  "
            f"off by more than 1: {(error > 1).mean():5.1%}, by at most {error.max():5.1f}  "
            f"outside of the real threes' range: {1 - within.mean():.1%}"
        )
        if dtype == np.int64:
            assert (error <= 1).all() and within.all()
    error = np.abs(made[np.uint8] - made[np.float64])
    assert (error > 1).mean() > 0.1 and error.max() > 200
EOF
