#!/usr/bin/env bash
# Versions:  skops 0.16.0, scikit-learn 1.9.1, scipy 1.17.1, numpy 2.4.6.
# Behaviour: a dictionary with the keys True and False loses one of them when skops.io saves and
#            loads it. Keys go through JSON, as "true" and "false", and come back through
#            bool("false"), which is True; the later entry wins. A classifier with
#            class_weight={True: 20, False: 1} is loaded with {True: 1}, and goes on without its
#            weights. A string key equal to an integer key's text is merged with it, and a deque
#            comes back empty. No error, no warning.
# Guess:     what pickle and joblib give: skops.io.load returns "the loaded object", types that it
#            can't hold are refused (complex numbers are, and tuples as keys).
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    skops==0.16.0 scikit-learn==1.9.1 scipy==1.17.1 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import collections
import pickle

import numpy as np
import skops.io
from sklearn.linear_model import SGDClassifier


def saved(value):
    data = skops.io.dumps(value)
    return skops.io.loads(data, trusted=skops.io.get_untrusted_types(data=data))


rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 3))
y = X[:, 0] + rng.normal(size=2000) > 2  # about 8 % are True
weights = {True: 20, False: 1}
model = SGDClassifier(loss="log_loss", class_weight=weights, random_state=0).fit(X, y)

kept, loaded = pickle.loads(pickle.dumps(model)), saved(model)
print("class_weight         ", model.class_weight, "-> skops:", loaded.class_weight)
assert kept.class_weight == weights and loaded.class_weight == {True: 1}
assert (loaded.predict(X) == model.predict(X)).all()
for name, other in (("pickle", kept), ("skops", loaded)):
    other.fit(X, y)
    found = other.score(X[y], y[y])
    print(f"fitted again          {name}'s copy finds {found:.1%} of the rare class")
assert kept.score(X[y], y[y]) > loaded.score(X[y], y[y]) + 0.2

print("{1: 'a', '1': 'b'}    -> skops:", saved({1: "a", "1": "b"}))
losses = collections.deque([0.3, 0.2], maxlen=5)
print(f"{losses} -> skops:", saved(losses))
print("{1: 'a', 2: 'b'}      -> skops:", saved({1: "a", 2: "b"}))
assert saved({1: "a", "1": "b"}) == {1: "b"}
assert saved(losses) == collections.deque([])
assert saved({1: "a", 2: "b"}) == {1: "a", 2: "b"}
EOF
