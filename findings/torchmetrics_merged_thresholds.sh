#!/usr/bin/env bash
# Versions:  torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6.
# Behaviour: two metrics in a MetricCollection become one, for good, if their counts are equal after
#            the first batch: thresholds of 0.5 and 0.9 where no prediction of that batch lies
#            between them, a class that ignore_index leaves out and that batch doesn't have. From
#            then on only the first is updated, and the other computes from its counts. The order
#            of the same batches decides (_merge_compute_groups compares states with allclose, not
#            what the metrics were made with). compute_groups=False is right. No warning.
# Guess:     what each metric alone computes. Metrics in a group "share the same metric state and
#            are therefore only different in their compute step", which thresholds are not.
set -euo pipefail

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/pip" install --quiet --disable-pip-version-check \
    torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6

"$dir/venv/bin/python" -I - <<'EOF'
import torch
from torchmetrics import MetricCollection
from torchmetrics.classification import BinaryAccuracy, BinaryRecall, MulticlassAccuracy


def computed(metrics, batches, **options):
    collection = MetricCollection(metrics(), **options)
    for predictions, targets in batches:
        collection.update(predictions, targets)
    return {name: round(value.item(), 3) for name, value in collection.compute().items()}


def thresholds():
    return {
        "accuracy, 50 %": BinaryAccuracy(threshold=0.5),
        "accuracy, 90 %": BinaryAccuracy(threshold=0.9),
        "recall, 90 %": BinaryRecall(threshold=0.9),
    }


def ignoring():
    return {
        "accuracy": MulticlassAccuracy(3, average="micro"),
        "without class 0": MulticlassAccuracy(3, average="micro", ignore_index=0),
    }


def compare(metrics, batches):
    reverse = batches[::-1]
    alone = {}
    for name, metric in metrics().items():
        alone |= computed(lambda name=name, metric=metric: {name: metric}, batches)
    found = {
        "alone": alone,
        "collection": computed(metrics, batches),
        "batches reversed": computed(metrics, reverse),
        "compute_groups=False": computed(metrics, batches, compute_groups=False),
    }
    for name, values in found.items():
        print(f"{name:20}", values)
    return found


sure = torch.tensor([0.97, 0.02, 0.99, 0.95]), torch.tensor([1, 0, 1, 1])
unsure = torch.tensor([0.6, 0.7, 0.8, 0.4]), torch.tensor([1, 1, 1, 0])
no_zero = torch.tensor([1, 2, 2, 1]), torch.tensor([1, 2, 1, 1])
zeros = torch.tensor([1, 2, 0, 1]), torch.tensor([0, 0, 0, 1])
for metrics, batches in ((thresholds, [sure, unsure, unsure]), (ignoring, [no_zero, zeros, zeros])):
    found = compare(metrics, batches)
    assert found["alone"] == found["batches reversed"] == found["compute_groups=False"]
    assert found["alone"] != found["collection"]
    assert len(set(found["collection"].values())) == 1
EOF
