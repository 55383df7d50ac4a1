#!/usr/bin/env bash
# Versions:  skl2onnx 1.20.0, scikit-learn 1.9.1, onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Behaviour: a TunedThresholdClassifierCV is converted to the classifier inside it, without its
#            threshold: its converter passes the inner labels on by two Identity nodes. Tuned for
#            balanced accuracy with a rare class, the threshold is 0.18, and the ONNX model says
#            yes for 30 rows instead of 103. The probabilities are equal. No warning.
# Guess:     the labels of predict, which is what the meta-estimator is for, or an error, as there
#            is for FixedThresholdClassifier; TunedThresholdClassifierCV is in the list of supported
#            models, supported_converters().
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    skl2onnx==1.20.0 scikit-learn==1.9.1 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import numpy as np
import onnxruntime
from skl2onnx import supported_converters, to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 3))
y = (X[:, 0] + rng.normal(size=300) > 1.2).astype(int)
for dtype in (np.float32, np.float64):
    rows = X.astype(dtype)
    model = TunedThresholdClassifierCV(LogisticRegression(), scoring="balanced_accuracy")
    model.fit(rows, y)
    converted = to_onnx(model, rows[:1], options={"zipmap": False})
    session = onnxruntime.InferenceSession(converted.SerializeToString())
    labels, probabilities = session.run(None, {session.get_inputs()[0].name: rows})

    print(f"{np.dtype(dtype)}: threshold {model.best_threshold_:.3f}, {y.sum()} rows are 1")
    for name, found in (("scikit-learn", model.predict(rows)), ("ONNX", labels)):
        score = balanced_accuracy_score(y, found)
        print(f"   {name:12} predicts 1 for {found.sum():3}  balanced accuracy {score:.3f}")
    assert np.allclose(probabilities, model.predict_proba(rows), atol=1e-5)
    assert (labels == model.estimator_.predict(rows)).all()
    assert (labels != model.predict(rows)).sum() > 50

assert "SklearnTunedThresholdClassifierCV" in supported_converters()
try:
    fixed = FixedThresholdClassifier(LogisticRegression(), threshold=0.2).fit(rows, y)
    to_onnx(fixed, rows[:1])
    refused = False
except Exception as error:
    refused = True
    print("FixedThresholdClassifier:", type(error).__name__)
assert refused
EOF
