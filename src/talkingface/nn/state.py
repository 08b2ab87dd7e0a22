"""State dicts as the arrays of weights and avatars, and back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from talkingface.core.arrays import part as part


def tensors_of(arrays_by_name: Mapping[str, np.ndarray], prefix: str) -> dict[str, Tensor]:
    """The arrays under `prefix` as tensors, in single precision."""
    return {
        key: torch.from_numpy(value.astype(np.float32) if value.dtype.kind == "f" else value.copy())
        for key, value in part(arrays_by_name, prefix).items()
    }


def arrays(state: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """A state dict as arrays to save: half precision, counters as they are."""
    return {
        name: value.cpu().numpy().astype(np.float16) if value.is_floating_point() else value.cpu().numpy()
        for name, value in state.items()
    }


def named(prefix: str, state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays under `prefix`."""
    return {f"{prefix}.{name}": value for name, value in state.items()}
