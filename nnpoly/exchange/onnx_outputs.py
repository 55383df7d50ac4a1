"""Which of a graph's outputs a network computes, and the labels that classifiers dress it with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from ..backends import host
from .onnx_parsing import FLOATS, Graph, Node, Unreadable, Value, shown

_CAST = {"Cast", "Identity", "Reshape", "Squeeze", "Flatten"}


class Ends(NamedTuple):
    """The value that a network computes, and the labels of its classes, if there are any."""

    value: str
    labels: host.HostArray | None

    def labels_of(self, outputs: int) -> host.HostArray | None:
        """The labels, where there is one for each class: two of one output."""
        fits = self.labels is not None and len(self.labels) == max(outputs, 2)
        return self.labels if fits else None


def ends_of(graph: Graph, output: str | None) -> Ends:
    """Choose the output of a graph that the network shall compute.

    output: its name, or None for the only one that is of numbers.
    """
    producers = {name: node for node in graph.nodes for name in node.outputs}
    found = _Finder(graph, producers)
    return Ends(found.scores(found.chosen(output)), found.labels())


class _Finder:
    """Looks for scores and labels from the graph's outputs upwards."""

    def __init__(self, graph: Graph, producers: Mapping[str, Node]) -> None:
        self.graph, self.producers = graph, producers

    def chosen(self, output: str | None) -> str:
        """The output that is asked for, or the only one that is of numbers."""
        outputs = {item.name: item for item in self.graph.outputs}
        names = ", ".join(shown(name) for name in list(outputs)[:8])
        if output is not None:
            if output not in outputs and output not in self.producers:
                raise Unreadable(f"it has no value {shown(str(output))}. Its outputs are {names}")
            return output
        numbers = [name for name, item in outputs.items() if self.is_of_numbers(item)]
        if len(numbers) == 1:
            return numbers[0]
        if not numbers and len(outputs) == 1:
            return next(iter(outputs))
        raise Unreadable(
            f"it has {len(numbers)} outputs of numbers. Name the one that the network shall "
            f"compute, output=...: {names}"
        )

    def is_of_numbers(self, item: Value) -> bool:
        return item.kind in FLOATS or any(
            node.op == "ai.onnx.ml.ZipMap" for node in self.up(item.name)
        )

    def up(self, name: str) -> Iterator[Node]:
        """Yield the nodes above a value as long as there is one way up, and past the labels."""
        node = self.producers.get(name)
        while node is not None:
            yield node
            above = [name for name in node.inputs if name in self.producers]
            node = self.producers[above[0]] if len(above) == 1 else None

    def scores(self, name: str) -> str:
        """The value below an output's dress: maps of labels, positions of the largest, 1 - p."""
        end, labelled = name, False
        for node in self.up(name):
            if node.op == "ai.onnx.ml.ZipMap":
                return self.one_score(node.inputs[0])
            if node.op == "ArgMax":
                return self.one_score(node.inputs[0])
            labelled = labelled or node.op == "ai.onnx.ml.ArrayFeatureExtractor"
            if not labelled and node.op not in _CAST:
                break
        return self.one_score(end)

    def one_score(self, name: str) -> str:
        """p, where a value is the pair of 1 - p and p."""
        pair = self.behind(name)
        if pair is None or pair.op != "Concat" or len(pair.inputs) != 2:
            return name
        first, p = self.producers.get(pair.inputs[0]), pair.inputs[1]
        if first is None or first.op != "Sub" or first.inputs[1] != p:
            return name
        one = self.graph.constants.get(first.inputs[0])
        whole = one is not None and one.size == 1 and one.dtype.kind == "f" and one.item() == 1.0
        along_rows = pair.attributes.get("axis") in (1, -1)
        return p if whole and along_rows else name

    def behind(self, name: str) -> Node | None:
        """The node that makes a value, past identities."""
        node = self.producers.get(name)
        while node is not None and node.op == "Identity":
            node = self.producers.get(node.inputs[0])
        return node

    def labels(self) -> host.HostArray | None:
        """The labels of a ZipMap, or those that an output is taken from."""
        for item in self.graph.outputs:
            for node in self.up(item.name):
                if node.op == "ai.onnx.ml.ZipMap":
                    for name in ("classlabels_strings", "classlabels_int64s"):
                        if node.attributes.get(name):
                            return np.asarray(node.attributes[name])
                if node.op in ("ai.onnx.ml.ArrayFeatureExtractor", "Gather"):
                    table = self.graph.constants.get(node.inputs[0])
                    if table is not None and table.size:
                        return table.ravel()
        return None
