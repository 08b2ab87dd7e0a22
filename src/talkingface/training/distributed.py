"""Training in several processes, started by `torchrun`: gradients are averaged, everything else is per process.

Networks are not wrapped, because a recipe calls its own references to them; the trainer averages the gradients after
each backward pass instead, which is what DistributedDataParallel does in its hooks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn


class World:
    """The processes that train together. Alone (the usual case) every method is free and changes nothing."""

    def __init__(self) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
        if self.size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        self.rank = dist.get_rank() if self.size > 1 else 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes the logs and checkpoints."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process: "cuda" becomes one GPU each."""
        if self.size > 1 and name == "cuda":
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        return torch.device(name)

    def broadcast(self, networks: Iterable[nn.Module]) -> None:
        """Give every process the weights of the first."""
        if self.size > 1:
            for network in networks:
                for tensor in network.state_dict().values():
                    dist.broadcast(tensor, 0)

    def average(self, tensors: list[Tensor]) -> None:
        """Replace each tensor by its mean over the processes, in one exchange."""
        if self.size > 1 and tensors:
            flat = torch.cat([t.reshape(-1).float() for t in tensors])
            dist.all_reduce(flat)
            pieces = (flat / self.size).split([t.numel() for t in tensors])
            for tensor, piece in zip(tensors, pieces, strict=True):
                tensor.copy_(piece.view(tensor.shape))

    def any(self, value: bool) -> bool:
        """Whether `value` is true in at least one process."""
        if self.size == 1:
            return value
        flag = torch.tensor(float(value), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        dist.all_reduce(flag)
        return bool(flag > 0)
