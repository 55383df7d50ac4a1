"""The mutations of mutations.py, which takes minutes to run, still find the lines they break."""

from __future__ import annotations

import pytest
from mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.title)
def test_mutations_find_their_lines(mutation):
    assert (ROOT / mutation.path).read_text().count(mutation.right) == 1
