#!/usr/bin/env bash
# Versions:  pytabkit 1.7.3, torch 2.13.0, pytorch-lightning 2.6.6, numpy 2.4.6, on a CPU.
# Behaviour: RealMLP multiplies a parameter's weight decay by the factor of its learning rate twice. A
#            step with lr 1e-5 and wd 1000 leaves 0.99 of the scaling layer with scale_lr_factor=1, 0.96
#            with 2, and 0.64 with 6, the default: 1 - lr wd factor^2.
# Guess:     The paper's AdamW, w <- w - lr wd w with the parameter's own rate, as torch's groups of
#            parameters have it: 0.98 and 0.94. The embedding of numbers, whose factor is 0.1, would decay
#            at a tenth of the others' rate, and not at a hundredth.
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
from pytabkit import RealMLP_TD_Regressor
from pytabkit.models.nn_models.base import ScaleLayer

logging.disable(logging.CRITICAL)
LR, WD = 1e-5, 1e3
rng = np.random.default_rng(0)
X = rng.normal(size=(320, 4)).astype(np.float32)
y = X[:, 0] + X[:, 1]


def kept(factor):
    """The part of the scaling layer, which starts at 1, that one step leaves."""
    constant = {"lr": LR, "lr_sched": "constant", "wd": WD, "wd_sched": "constant"}
    once = {"n_epochs": 1, "batch_size": 256}  # 256 of the 320 rows are trained on
    options = {"device": "cpu", "n_threads": 1, "random_state": 0, "num_emb_type": "none"}
    model = RealMLP_TD_Regressor(scale_lr_factor=factor, **constant, **once, **options).fit(X, y)
    layers = model.alg_interface_.model.modules()
    [scale] = [layer for layer in layers if isinstance(layer, ScaleLayer)]
    return float(next(scale.parameters()).detach().mean())


print("factor   left after a step   1 - lr wd factor   1 - lr wd factor^2")
found = []
for factor in (1.0, 2.0, 6.0):
    once, twice = 1 - LR * WD * factor, 1 - LR * WD * factor**2
    found.append((kept(factor), once, twice))
    print(f"{factor:6.0f}   {found[-1][0]:17.3f}   {once:16.3f}   {twice:18.3f}")

# Adam's own step is 1e-5 times the factor.
assert all(abs(left - twice) < 1e-3 for left, _, twice in found)
assert all(abs(left - once) > 1e-2 for left, once, _ in found[1:])
PYTHON
