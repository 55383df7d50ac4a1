#!/usr/bin/env bash
# Versions:  ndonnx 0.23.0, onnx 1.23.2, onnxruntime 1.32.0, spox 0.18.2, numpy 2.4.6.
# Behaviour: ndonnx.cumulative_prod takes exp(cumulative_sum(log(x))). Integers lose 1 wherever the
#            exponential falls just below, since it is then truncated: the factorials are 1, 2, 6,
#            23, 119. A negative number makes itself and all that follow NaN, in integers
#            -9223372036854775808. So do eager arrays and exported models; ndonnx.prod is right.
# Guess:     the array API standard's cumulative product, of integers exact and of any sign.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    ndonnx==0.23.0 onnx==1.23.2 onnxruntime==1.32.0 spox==0.18.2 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import ndonnx as ndx
import numpy as np
import onnxruntime


def exported(values):
    x = ndx.argument(shape=(None,), dtype=ndx.asarray(values).dtype)
    model = ndx.build({"x": x}, {"y": ndx.cumulative_prod(x)})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {session.get_inputs()[0].name: values})[0]


cases = {
    "1 to 8": np.arange(1, 9),
    "int32 101, 5": np.array([101, 5], np.int32),
    "integers": np.array([2, -3, 5, 7]),
    "float64": np.array([1.5, -0.5, 2.0, 4.0]),
    "float32, positive": np.array([1.5, 0.5, 2.0], np.float32),
}
for name, values in cases.items():
    x = ndx.asarray(values)
    found = ndx.cumulative_prod(x).unwrap_numpy()
    print(f"{name:18} ndonnx {found.tolist()}  NumPy {np.cumulative_prod(values).tolist()}")
    print(f"{'':18} prod   {ndx.prod(x).unwrap_numpy()}  exported {exported(values).tolist()}")
    np.testing.assert_array_equal(exported(values), found)
    assert ndx.prod(x).unwrap_numpy() == values.prod()
    if name.endswith("positive"):
        assert np.allclose(found, values.cumprod())
    elif (values > 0).all():
        assert (found != values.cumprod()).any() and (values.cumprod() - found <= 1).all()
    elif values.dtype.kind == "f":
        assert np.isnan(found[1:]).all()
    else:
        assert (found[1:] == np.iinfo(np.int64).min).all()
EOF
