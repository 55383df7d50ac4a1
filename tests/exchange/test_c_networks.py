"""Networks as C: the library's own bits, for every layer, activation and output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from c_networks import inputs, networks
from c_programs import Library, needs_gcc

import nnpoly as nn
from nnpoly.exchange.c_writing import to_c

pytestmark = needs_gcc


def written(folder: Path) -> dict[str, nn.Network]:
    found = dict(networks())
    for name, net in found.items():
        to_c(net, folder / f"{name}.h", name, check=False)
    return found


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> tuple[Library, dict[str, nn.Network]]:
    folder = tmp_path_factory.mktemp("c")
    nets = written(folder)
    return Library([folder / f"{name}.h" for name in nets], folder), nets


def test_every_network_has_the_librarys_own_bits(compiled):
    library, nets = compiled
    for name, net in nets.items():
        X = inputs(net)
        expected = net(X)
        for found in (library.rows(name, X, net.outputs), library.batch(name, X, net.outputs)):
            np.testing.assert_array_equal(found, expected, name)
