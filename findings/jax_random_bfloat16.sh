#!/usr/bin/env bash
# Versions:  jax and jaxlib 0.10.2, numpy 2.4.6, on a CPU.
# Behaviour: jax.random draws bfloat16 numbers from 128 uniform ones. A million normal numbers hold
#            at most 128 different values and none beyond 3; exponential ones have a mean of 0.97;
#            bernoulli with a bfloat16 p of 0.001 is true 7.7 times as often as it should be.
# Guess:     the dtype rounds the numbers that are returned: tails up to 4.5 and more, right
#            probabilities. Drawing in float32 and casting does that.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    jax==0.10.2 jaxlib==0.10.2 numpy==2.4.6

JAX_PLATFORMS=cpu "$dir/venv/bin/python" -I - <<'EOF'
import jax
import jax.numpy as jnp
import numpy as np

n = 1_000_000
key = jax.random.key(0)


def host(x):
    return np.asarray(x.astype(jnp.float32), np.float64)


direct = host(jax.random.normal(key, (n,), jnp.bfloat16))
cast = host(jax.random.normal(key, (n,)).astype(jnp.bfloat16))
print("normal, drawn in bfloat16:")
print("   values", np.unique(direct).size, " min", direct.min(), " max", direct.max())
print("normal, drawn in float32 and cast:")
print("   values", np.unique(cast).size, " min", cast.min(), " max", cast.max())

exponential = host(jax.random.exponential(key, (n,), jnp.bfloat16)).mean()
print("mean of exponential bfloat16 numbers:", exponential, "(1 is right)")

p = jnp.bfloat16(0.001)
low = float(jax.random.bernoulli(key, p, (n,)).mean())
wide = float(jax.random.bernoulli(key, p.astype(jnp.float32), (n,)).mean())
print("bernoulli with p", float(p), "in bfloat16:", low, " in float32:", wide)

assert np.unique(direct).size <= 128 and np.abs(direct).max() < 3
assert np.unique(cast).size > 1000 and np.abs(cast).max() > 4
assert exponential < 0.98
assert low > 7 * float(p) and abs(wide - float(p)) < 1e-4
EOF
