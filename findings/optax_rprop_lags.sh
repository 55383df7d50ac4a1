#!/usr/bin/env bash
# Versions:  optax 0.2.8, jax and jaxlib 0.10.2, numpy 2.4.6, on a CPU.
# Behaviour: optax.rprop returns the step that the *previous* gradient asked for. The first update
#            is 0; a change of sign gives two updates of 0; a gradient that changes its sign
#            at every call gives none but 0.
# Guess:     Riedmiller and Braun's Rprop, which the docstring cites and torch computes: the first
#            update is -learning_rate * sign(gradient), and each update answers the gradient given.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    optax==0.2.8 jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

JAX_PLATFORMS=cpu "$dir/venv/bin/python" -I - <<'EOF'
import jax.numpy as jnp
import numpy as np
import optax


def with_optax(gradients):
    optimizer = optax.rprop(0.1)
    w = jnp.zeros(())
    state = optimizer.init(w)
    updates = []
    for gradient in gradients:
        update, state = optimizer.update(jnp.float32(gradient), state, w)
        updates.append(float(update))
    return np.array(updates) + 0.0  # no negative zeros


def textbook(gradients, grow=1.2, shrink=0.5):
    size, before, updates = 0.1, 0.0, []
    for gradient in gradients:
        if gradient * before > 0:
            size *= grow
        elif gradient * before < 0:
            size *= shrink
            gradient = 0.0
        updates.append(-size * np.sign(gradient))
        before = gradient
    return np.array(updates) + 0.0


steady = [1, 1, 1, 1]
turning = [1, 1, -1, -1, -1]
swinging = [1, -1, 1, -1, 1, -1]
for gradients in (steady, turning, swinging):
    print("gradients", gradients)
    print("   optax    ", with_optax(gradients).round(4).tolist())
    print("   textbook ", textbook(gradients).round(4).tolist())

assert with_optax(steady)[0] == 0
assert np.allclose(with_optax(steady)[1:], textbook(steady)[:-1])
assert with_optax(turning)[2] == with_optax(turning)[3] == 0 != textbook(turning)[3]
assert not with_optax(swinging).any() and textbook(swinging).any()
EOF
