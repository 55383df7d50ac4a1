"""torch tensors, on the CPU or any of torch's devices."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from typing import Any, TypeGuard

from ..activations import ReLU
from ..primitives import SMALLEST, Array, Ops, implements
from . import host
from .base import Backend

try:
    import array_api_compat.torch as xp
    import torch
except ImportError as error:
    raise ImportError("torch is not installed: pip install nnpoly[torch]") from error


class Torch(Backend):
    """torch tensors; autograd is never used."""

    name = "torch"

    def __init__(self) -> None:
        self.xp = xp

    def owns(self, array: Any) -> TypeGuard[Array]:
        return isinstance(array, torch.Tensor)

    def lack(self, array: torch.Tensor) -> str:
        if array.layout is not torch.strided:
            return "sparse"
        return "meta" if array.is_meta else ""

    def device(self, device: Any) -> Any:
        try:
            resolved = torch.device(torch.get_default_device() if device is None else device)
            # An allocation, since only that tells whether the device is there; it also completes
            # "cuda" to "cuda:0". What has no data ("meta") cannot be read back.
            empty = torch.empty(0, device=resolved)
            empty.cpu()
            return empty.device
        except (RuntimeError, AssertionError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ValueError(f"torch: `device` {device!r} cannot be used: {reason}") from error

    def from_host(self, array: host.HostArray, device: Any) -> torch.Tensor:
        return torch.tensor(host.ascending(array), device=device)

    def to_host(self, array: torch.Tensor) -> host.HostArray:
        if array.dtype is torch.bfloat16:  # which NumPy lacks, and float32 holds
            array = array.float()
        return host.asarray(array.detach().cpu().numpy())

    def convert(self, array: torch.Tensor, dtype: str, device: Any) -> torch.Tensor:
        return array.detach().to(device=device, dtype=self.dtype(dtype))

    def copy(self, array: torch.Tensor) -> torch.Tensor:
        return array.detach().clone()

    def scope(self, device: Any) -> AbstractContextManager[Any]:
        quiet: AbstractContextManager[Any] = torch.no_grad()
        return quiet

    def version(self) -> str:
        cuda = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU only"
        return f"{torch.__version__} ({cuda})"


def load() -> Backend:
    """Return the backend."""
    return Torch()


@implements("normal_cdf", "torch")
def _normal_cdf(ops: Ops, z: torch.Tensor) -> torch.Tensor:
    # erfc keeps the lower tail, which torch.special.ndtr loses to cancellation.
    return 0.5 * torch.erfc(z * -math.sqrt(0.5))


@implements("activate", "torch", guard=lambda pre, activation: type(activation) is ReLU)
def _relu(ops: Ops, pre: torch.Tensor, activation: ReLU) -> torch.Tensor:
    return torch.relu(pre)  # NaN stays NaN; in a tenth of the time that `where` takes


@implements("activation_delta", "torch", guard=lambda d, pre, post, sigma: type(sigma) is ReLU)
def _relu_delta(
    ops: Ops, d_post: torch.Tensor, pre: Any, post: torch.Tensor, activation: ReLU
) -> torch.Tensor:
    return d_post.mul_(post > 0)


@implements("bfloat16", "torch", guard=lambda x: x.dtype is torch.float32)
def _bfloat16(ops: Ops, x: torch.Tensor) -> torch.Tensor:
    # A cast keeps denormals, or not, as the processor has instructions for it.
    normal = torch.where(x.abs() < SMALLEST, x * 0.0, x)
    return normal.bfloat16().float()
