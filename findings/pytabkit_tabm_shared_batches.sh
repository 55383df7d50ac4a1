#!/usr/bin/env bash
# Versions:  pytabkit 1.7.3, torch 2.13.0, pytorch-lightning 2.6.6, numpy 2.4.6, on a CPU.
# Behaviour: TabM_D_Regressor(share_training_batches=True), which gives all members the same batch, as the
#            paper's code does, predicts the mean of the targets, whatever X is: R2 is 0.01 on a linear
#            function without noise, which it fits to 0.99 with False, the default. The scores, (n k, 1),
#            meet targets (n k,) in the squared error, which are broadcast to all pairs of rows, and the
#            best answer to all targets at once is their mean. Classes are learnt with both.
# Guess:     True and False differ by which rows a member sees in a step, and fit a linear function alike.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    pytabkit==1.7.3 torch==2.13.0 pytorch-lightning==2.6.6 numpy==2.4.6

cd "$dir"
"$dir/venv/bin/python" -I - <<'PYTHON' 2>errors || { cat errors; exit 1; }
import logging

import numpy as np
from pytabkit import TabM_D_Classifier, TabM_D_Regressor

logging.disable(logging.CRITICAL)
rng = np.random.default_rng(0)
X = rng.normal(size=(640, 4)).astype(np.float32)
y = 3.0 * X[:, 0] + X[:, 1]
SMALL = {"tabm_k": 4, "d_block": 32, "n_blocks": 2, "batch_size": 64, "lr": 1e-2}
ENDS = {"n_epochs": 30, "patience": 30, "device": "cpu", "n_threads": 1, "random_state": 0}

print("share_training_batches   R2 of numbers   spread of predictions / targets   accuracy of classes")
found = {}
for share in (False, True):
    options = {"share_training_batches": share, **SMALL, **ENDS}
    f = TabM_D_Regressor(**options).fit(X, y).predict(X)
    classes = TabM_D_Classifier(**options).fit(X, (y > 0).astype(int)).predict(X)
    found[share] = 1.0 - np.mean((f - y) ** 2) / y.var(), f.std() / y.std(), np.mean(classes == (y > 0))
    print(f"{share!s:22}   {found[share][0]:13.3f}   {found[share][1]:31.3f}   {found[share][2]:19.3f}")

assert found[False][0] > 0.95
assert found[True][0] < 0.1 and found[True][1] < 0.1
assert min(found[False][2], found[True][2]) > 0.98
PYTHON
