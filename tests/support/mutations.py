"""Mutation tests: break one line of the library at a time, and print the first test that fails.

Run by hand, since it takes minutes: ``python tests/support/mutations.py``, or with words that the
titles must contain, ``python tests/support/mutations.py CUDA``. It prints the table in
docs/guide/parity.md and exits with 1 if a mutation survives.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PRIMITIVES = "nnpoly/primitives/definitions.py"
NUMPY = "nnpoly/backends/numpy/kernels.py"
CUPY = "nnpoly/backends/cupy"


class Mutation(NamedTuple):
    """A replacement in a file; `right` must occur there exactly once."""

    title: str
    path: str
    right: str
    wrong: str


MUTATIONS = [
    Mutation("definition drops the bias", PRIMITIVES, "x @ W.T + b", "x @ W.T"),
    Mutation("NumPy drops the bias", NUMPY, "        pre += b\n", "        pass\n"),
    Mutation(
        "definition swaps eps",
        PRIMITIVES,
        "ops.xp.sqrt(s + eps) if eps_inside_sqrt",
        "ops.xp.sqrt(s + eps) if not eps_inside_sqrt",
    ),
    Mutation("NumPy swaps eps", NUMPY, "    if eps_inside_sqrt:", "    if not eps_inside_sqrt:"),
    Mutation(
        "cross-entropy's delta is y - f",
        PRIMITIVES,
        "losses, exps / total - target)",
        "losses, target - exps / total)",
    ),
    Mutation("logistic's delta is y - f", PRIMITIVES, "losses, f - y)", "losses, y - f)"),
    Mutation("MSE's delta lacks 1/n", PRIMITIVES, "(2 * n), delta / n", "(2 * n), delta"),
    Mutation(
        "cross-entropy's delta lacks 1/n",
        PRIMITIVES,
        "exps / total - target)\n    loss, delta = narrowed(ops, scores, "
        "xp.sum(losses) / n, delta / n",
        "exps / total - target)\n    loss, delta = narrowed(ops, scores, xp.sum(losses) / n, delta",
    ),
    Mutation(
        "sample weights are forgotten",
        PRIMITIVES,
        "return sample_weight[:, None] * losses, sample_weight[:, None] * slopes",
        "return losses, slopes",
    ),
    Mutation(
        "NumPy's delta lacks 1/n", NUMPY, "flat[at_label] -= 1.0 / n", "flat[at_label] -= 1.0"
    ),
    Mutation(
        "one-hot rows in the default dtype",
        PRIMITIVES,
        "classes[None, :], like.dtype)",
        "classes[None, :], xp.asarray(0.0).dtype)",
    ),
    Mutation(
        "dropout in the default dtype",
        PRIMITIVES,
        "xp.astype(kept, x.dtype)",
        "xp.astype(kept, xp.asarray(0.0).dtype)",
    ),
    Mutation(
        "one-hot rows forget the device",
        PRIMITIVES,
        "dtype=y.dtype, device=device_of(like)",
        "dtype=y.dtype",
    ),
    Mutation(
        "dropout forgets the device",
        PRIMITIVES,
        "xp.arange(m, dtype=xp.int32, device=device)",
        "xp.arange(m, dtype=xp.int32)",
    ),
    Mutation(
        "Adam's bias correction is off by one",
        "nnpoly/optimizers.py",
        "1.0 / (1.0 - self.beta1**age_m)",
        "1.0 / (1.0 - self.beta1 ** (age_m + 1))",
    ),
    Mutation(
        "LayerNorm's gradient forgets the mean",
        PRIMITIVES,
        "(d - xp.mean(d, axis=1, keepdims=True) - normal",
        "(d - normal",
    ),
    Mutation("dropout is not inverted", PRIMITIVES, "* (1.0 / (1.0 - rate))", "* 1.0"),
    Mutation(
        "the shuffle is not keyed by the epoch",
        "nnpoly/data/batches.py",
        "host.permutation(n, self.seed, number)",
        "host.permutation(n, self.seed, 0)",
    ),
    Mutation(
        "CUDA: a tile is read before it is whole",
        f"{CUPY}/kernels.cu",
        "    right[bk][bj] = next_b;\n    __syncthreads();\n",
        "    right[bk][bj] = next_b;\n",
    ),
    Mutation(
        "CUDA: an epoch stays at its first batch", f"{CUPY}/kernels.cu", "  source->row += n;\n", ""
    ),
    Mutation(
        "CUDA: a graph keeps new arrays to itself",
        f"{CUPY}/graph.py",
        "        _assign(state, changed)\n        launch",
        "        launch",
    ),
    Mutation(
        "CUDA: practice is taken on the state itself",
        f"{CUPY}/graph.py",
        "one(copy, practice, self._batch)",
        "one(state, practice, self._batch)",
    ),
    Mutation(
        "CUDA: practice does not wait for what came before",
        f"{CUPY}/graph.py",
        "    stream.wait_event(recorded(before))\n",
        "",
    ),
    Mutation(
        "CUDA: the branch is not joined",
        f"{CUPY}/kernels.py",
        "        ops.branch.join()\n",
        "        pass\n",
    ),
    Mutation(
        "CUDA: what the branch reads is freed",
        f"{CUPY}/ops.py",
        "self._used.extend(arrays)",
        "self._used.append(None)",
    ),
    Mutation(
        "CUDA: cuBLASLt is promised more alignment than there is",
        f"{CUPY}/products.py",
        "return int(min(256, pointer & -pointer))",
        "return 256 if pointer else 0",
    ),
    Mutation(
        "CUDA: a bias's gradient is summed over the wrong factor",
        f"{CUPY}/products.py",
        "dW, lt.Epilogue.BGRADB, db",
        "dW, lt.Epilogue.BGRADA, db",
    ),
    Mutation(
        "CUDA: a block is computed with before it is there",
        f"{CUPY}/upload.py",
        "        cupy.cuda.get_current_stream().wait_event(under_way[0].ended)\n",
        "        pass\n",
    ),
]


def main() -> int:
    """Try every mutation and print what noticed it."""
    survivors, words = 0, sys.argv[1:]
    print("| mutation | noticed by |\n| --- | --- |")
    for mutation in (m for m in MUTATIONS if all(word in m.title for word in words)):
        with tempfile.TemporaryDirectory() as folder:
            noticed = try_mutation(mutation, Path(folder))
        survivors += noticed is None
        print(f"| {mutation.title} | {noticed or '**nothing**'} |", flush=True)
    return 1 if survivors else 0


def try_mutation(mutation: Mutation, folder: Path) -> str | None:
    """Return the first test that fails in a copy of the project, or None."""
    for part in ("nnpoly", "tests", "pyproject.toml"):
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / part)
    target = folder / mutation.path
    text = target.read_text()
    if text.count(mutation.right) != 1:
        raise SystemExit(f"{mutation.title}: {mutation.right!r} is not once in {mutation.path}")
    target.write_text(text.replace(mutation.right, mutation.wrong))
    command = [sys.executable, "-m", "pytest", "-x", "--tb=no", "tests"]
    of_cext = ("backends/test_build.py", "backends/test_codes.py")
    elsewhere = (*of_cext, "benchmarks", "cli", "docs", "testing/test_mutations.py")
    ignored = [f"--ignore=tests/{path}" for path in elsewhere]  # which need more folders
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run = subprocess.run(
        command + ignored, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if error := re.search(r"^ERROR.*", run.stdout, re.MULTILINE):
        raise SystemExit(f"{mutation.title}: {error[0]}")
    failed = re.search(r"^FAILED (?:tests/)?([^\s\[]+)", run.stdout, re.MULTILINE)
    return f"`{failed[1]}`" if failed else None


if __name__ == "__main__":
    sys.exit(main())
