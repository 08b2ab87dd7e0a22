"""The memory of identity features (section 3.4 of the paper): keys describe composites, values the real frames.

`QueryNet` turns composites into queries. `MemoryBank` holds keys and values as plain tensors: training writes them, no
gradient changes them. Few features are retrieved; `spread_features` interpolates those of the frames between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.resnet import ResNet, normalise_imagenet, resnet18
from talkingface.systems.headpose.config import RendererConfig

SAME_IDENTITY = 0.98  # features (unit vectors) with a larger dot product show the same
_CANDIDATES, _MARGIN, _AGE_NOISE = 256, 0.3, 4.0  # as published
SLOTS = 30000
PERIOD = 25  # frames from one retrieved feature to the next


class QueryNet(nn.Module):
    """Composites [B, 3, 256, 256] in [-1, 1] -> unit queries [B, feature].

    The ResNet-18 is frozen and always in inference mode; only the linear layer is trained. (`official.recipe` unfreezes
    it where no ImageNet weights were imported.)
    """

    def __init__(self, *, feature: int = 512, width: int = 64) -> None:
        super().__init__()
        self.ResNet18 = _Pooled(resnet18(num_classes=0, width=width))
        self.ResNet18.requires_grad_(False)
        self.Linear = nn.Linear(self.ResNet18.model.num_features, feature)
        self.train(self.training)

    def train(self, mode: bool = True) -> QueryNet:
        super().train(mode)
        self.ResNet18.eval()
        return self

    def query(self, pooled: Tensor) -> Tensor:
        """Pooled features of the ResNet [B, N] -> unit queries [B, feature]."""
        return functional.normalize(self.Linear(pooled))

    def forward(self, composites: Tensor) -> Tensor:
        return self.query(self.ResNet18(normalise_imagenet((composites + 1) / 2)))


class _Pooled(nn.Module):
    """A ResNet under the published name `model`."""

    def __init__(self, model: ResNet) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The best slots for each query, best first: `feature` [B, k, V], their writer's `index` [B, k], `slot` [B, k]."""

    feature: Tensor
    index: Tensor
    slot: Tensor


@dataclass(slots=True, kw_only=True)
class MemoryBank:
    """`key` [M, D] unit rows, `value` [M, V] identity features, `age` [M] in updates, `index` [M] of the training frame
    that wrote the slot (-1: none did), `own` [M] bool: written for the person at hand.

    A bank from general training holds other people, and one wrong feature changes the face for a second. Slots that
    training for a person writes become `own`, and `retrieve` by default searches these only. The published file does
    not tell whose slots are whose.
    """

    key: Tensor
    value: Tensor
    age: Tensor
    index: Tensor
    own: Tensor

    def __post_init__(self) -> None:
        slots = len(self.key)
        if self.key.dim() != 2 or self.value.dim() != 2 or len(self.value) != slots:
            raise ValueError("a memory needs key [M, D] and value [M, V]")
        if any(tensor.shape != (slots,) for tensor in (self.age, self.index, self.own)):
            raise ValueError("a memory needs age, index and own [M]")

    @classmethod
    def make(
        cls, slots: int = SLOTS, *, query: int = 512, feature: int = 512, generator: torch.Generator | None = None
    ) -> MemoryBank:
        """An empty bank with random keys."""
        key = torch.empty(slots, query).uniform_(-0.01, 0.01, generator=generator)
        value = torch.empty(slots, feature).uniform_(0, 0.01, generator=generator)
        return cls(
            key=functional.normalize(key),
            value=functional.normalize(value, p=1),
            age=torch.zeros(slots),
            index=torch.full((slots,), -1),
            own=torch.zeros(slots, dtype=torch.bool),
        )

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> MemoryBank:
        """The bank of tensors that were saved as weights, whose whole numbers may have another width."""
        return cls(**{**tensors, "index": tensors["index"].long(), "own": tensors["own"].bool()})

    def state(self) -> dict[str, Tensor]:
        """The tensors by name: `MemoryBank(**bank.state())` is the same bank."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def to(self, device: torch.device | str) -> MemoryBank:
        """The bank on another device."""
        return MemoryBank(**{name: tensor.to(device) for name, tensor in self.state().items()})

    def compact(self) -> MemoryBank:
        """Only the person's own slots: what an avatar needs. Raises ValueError if there are none."""
        self._check_own()
        return MemoryBank(**{name: tensor[self.own].clone() for name, tensor in self.state().items()})

    @torch.no_grad()
    def retrieve(self, query: Tensor, k: int = 1, *, own_only: bool = True) -> Retrieved:
        """The `k` slots whose keys are closest to each unit query [B, D].

        `own_only=False` searches all slots, as the published program does. Raises ValueError if fewer than `k` are own.
        """
        scores = query @ self.key.T
        if own_only:
            self._check_own(k)
            scores = scores.masked_fill(~self.own, -torch.inf)
        slot = scores.topk(k, 1).indices
        return Retrieved(self.value[slot], self.index[slot], slot)

    def _check_own(self, least: int = 1) -> None:
        if (count := int(self.own.sum())) < least:
            raise ValueError(
                f"{count} slots of this memory were written for the person, {least} are asked for; "
                "train it first, or search all slots"
            )

    def loss(self, query: Tensor, feature: Tensor, threshold: float = SAME_IDENTITY) -> Tensor:
        """Triplet loss of unit queries [B, D] with true features [B, V], mean over the batch.

        Among the best 256 slots, the best one that holds the true feature should beat the best one that does not by
        0.3. The scores of other slots count as 0, as in the original.
        """
        scores, slots = (query @ self.key.T).topk(min(_CANDIDATES, len(self.key)), 1)
        same = torch.einsum("bkv,bv->bk", self.value[slots], feature) > threshold
        positive, negative = ((scores * chosen).amax(1) for chosen in (same, ~same))
        return functional.relu(negative - positive + _MARGIN).mean()

    @torch.no_grad()
    def update(self, query: Tensor, feature: Tensor, index: Tensor, noise: Tensor | None = None) -> None:
        """Write a batch, in place: unit queries [B, D], true features [B, V], numbers of the training frames [B].

        If the best slot holds the true feature already, its key moves towards the query; otherwise the slot with the
        largest age plus `noise` [M] (uniform in -4 to 4 unless given) is overwritten. All slots age by one.
        """
        if noise is None:
            noise = torch.empty_like(self.age).uniform_(-_AGE_NOISE, _AGE_NOISE)
        best = (query @ self.key.T).argmax(1)
        known = (self.value[best] * feature).sum(1) > SAME_IDENTITY
        self.age += 1
        slots = best[known]
        self.key[slots] = functional.normalize(self.key[slots] + query[known])
        self.age[slots] = 0
        self.own[slots] = True
        new = ~known
        slots = (self.age + noise.flatten()).topk(int(new.sum())).indices
        self.key[slots], self.value[slots] = query[new], feature[new]
        self.index[slots] = index[new].to(self.index)
        self.age[slots] = 0
        self.own[slots] = True


def feature_frames(count: int, period: int = PERIOD) -> list[int]:
    """The frames whose features are retrieved: every `period`-th and the last of `count`, ascending.

    >>> feature_frames(60)
    [0, 25, 50, 59]
    """
    return sorted({*range(0, count, period), count - 1} if count > 0 else ())


def spread_features(features: Tensor, frames: list[int], count: int) -> Tensor:
    """Features [K, D] of the ascending `frames` -> of all `count` frames [count, D], linear in between.

    Before the first and after the last of `frames` the nearest one holds. Interpolated features are not normalised
    again, as in the original: the generator was trained on shorter ones too.
    """
    if len(features) != len(frames) or not frames:
        raise ValueError(f"{len(features)} features for {len(frames)} frames")
    # the position of each frame among `frames`, as a fraction
    places = np.interp(np.arange(count), frames, np.arange(len(frames)))
    low = np.minimum(places.astype(np.int64), max(0, len(frames) - 2))
    share = torch.from_numpy(places - low).to(features)[:, None]
    high = torch.from_numpy(np.minimum(low + 1, len(frames) - 1))
    return torch.lerp(features[torch.from_numpy(low)], features[high], share)


def make_query(config: RendererConfig) -> QueryNet:
    """The query network of a config."""
    return QueryNet(feature=config.feature, width=config.query_width)
