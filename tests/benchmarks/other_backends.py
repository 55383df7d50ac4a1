"""nnpoly's other CPU backends, mixed into its contestants: their arrays, and waiting for them."""

from __future__ import annotations

from typing import Any

import numpy as np


class OnTorch:
    """Over torch tensors. Mixed into a contestant with a trainer."""

    backend = "torch"

    @staticmethod
    def array(array: np.ndarray) -> Any:
        import torch

        return torch.from_numpy(array)


class OnJax:
    """Over JAX arrays. Mixed into a contestant with a trainer."""

    backend = "jax"

    @staticmethod
    def array(array: np.ndarray) -> Any:
        import jax.numpy

        return jax.numpy.asarray(array)

    def wait(self) -> None:
        import jax

        jax.block_until_ready(self.trainer.network.w)
