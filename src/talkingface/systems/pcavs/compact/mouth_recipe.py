"""The second round of the compact networks' training: mouths and eyes.

A mouth is a few pixels high, so mean differences of pictures hardly tell a speaking one from a resting one, and what is
drawn moves too little. Here networks that learn to read lips and lids in real pictures read the drawn ones, too, and a
second discriminator sees the mouth alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.face.blink import LEFT_EYE, RIGHT_EYE
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import LOWER_LIP, UPPER_LIP
from talkingface.face.topology import LEFT_EYE_LOWER, LEFT_EYE_UPPER, LIPS, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from talkingface.metrics.sync import correlation
from talkingface.nn.gan import (
    PatchDiscriminator,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
)
from talkingface.systems.pcavs.compact.data import Choice
from talkingface.systems.pcavs.compact.networks import Drawn, Tower, sampled, signed_pictures
from talkingface.systems.pcavs.compact.reenact_recipe import DRAWING, ReenactRecipe
from talkingface.systems.pcavs.compact.views import EYES, MOUTH_BELOW, MOUTH_HALF, NOSE_TIP
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase
from talkingface.training.sync_data import mirrored_order

LIDS = tuple(sorted({*RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER, *LEFT_EYE_UPPER, *LEFT_EYE_LOWER}))
UPPER_LID, LOWER_LID = (RIGHT_EYE[side] + LEFT_EYE[side] for side in ("upper", "lower"))
OUTER_CORNERS = RIGHT_EYE["corners"][0], LEFT_EYE["corners"][1]
"""Of the eyes: the first is left in a picture, unless it is mirrored."""
CHOICE = Choice(turned=0.3, mouth=0.35, shut=0.12)
READ_UNIT = 0.05
"""What counts as one in the readers' output, in halves of the side: about three pixels."""
JITTER = 0.05
"""Of a reader's region while it learns, or it would say the mean."""
LEAST_INSIDE = 100.0
"""Pixels of mouths' insides in a batch, from which their mean counts in full."""
READ_FROM = 400
"""The step from which drawn pictures are read and judged; before, the readers know nothing."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the face: the `points` that are read in it; its middle lies `below` the tip of the nose, its half sides
    are `half` (x, y), all in eye distances."""

    points: tuple[int, ...]
    below: float
    half: tuple[float, float]

    def middle(self, points: Tensor) -> Tensor:
        """[B, 2] in faces of `points` [B, 478, 2]."""
        return points[:, NOSE_TIP] + torch.tensor([0.0, self.below * EYES], device=points.device)

    def cut(self, pictures: Tensor, middle: Tensor) -> Tensor:
        """[B, 3, REGION_PX, REGION_PX] from pictures [B, 3, S, S] at `middle` [B, 2]."""
        half = torch.tensor(self.half, device=middle.device) * EYES
        place = torch.cat([torch.diag(half).expand(len(middle), 2, 2), middle[..., None]], dim=2)
        grid = functional.affine_grid(place, [len(middle), 3, REGION_PX, REGION_PX], align_corners=False)
        return functional.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)


MOUTH = Region(LIPS, MOUTH_BELOW, (MOUTH_HALF, MOUTH_HALF))
EYES_REGION = Region(LIDS, -0.62, (1.0, 0.42))
REGION_PX = 64


class PointReader(nn.Module):
    """A picture of a region [B, 3, R, R] -> where its points are from its middle, [B, N, 2], in `READ_UNIT`s.

    `usual` [478, 2]: a mean face, from which it begins.
    """

    usual: Tensor
    mirror: Tensor

    def __init__(self, region: Region, usual: Tensor) -> None:
        super().__init__()
        self.region = region
        self.tower = Tower(3, REGION_PX, (12, 24, 32, 48), 2 * len(region.points))
        self.register_buffer("usual", (usual[list(region.points)] - region.middle(usual[None])) / READ_UNIT)
        order = mirrored_order(load_mesh478().mean[list(region.points)])
        self.register_buffer("mirror", torch.from_numpy(order), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.usual + self.tower(pictures).unflatten(1, (-1, 2))

    def lesson(self, pictures: Tensor, points: Tensor) -> Tensor:
        """Loss on pictures [B, 3, S, S] whose points [B, 478, 2] are known: at other places, half of them blurred."""
        middle = self.region.middle(points)
        middle = middle + JITTER * (2 * torch.rand_like(middle) - 1)
        wanted = (self._ordered(points) - middle[:, None]) / READ_UNIT
        cut = self.region.cut(pictures, middle)
        soft = functional.avg_pool2d(cut, 5, stride=1, padding=2, count_include_pad=False)
        blur = torch.rand(len(cut), 1, 1, 1, device=cut.device).sub(0.5).clamp(min=0) * 2
        return functional.smooth_l1_loss(self(cut + blur * (soft - cut)).float(), wanted)

    def _ordered(self, points: Tensor) -> Tensor:
        """Its points of faces [B, 478, 2]: in mirrored pictures a right corner is what looks like one."""
        region = list(self.region.points)
        mirrored = points[:, OUTER_CORNERS[0], 0] > points[:, OUTER_CORNERS[1], 0]
        return torch.where(mirrored[:, None, None], points[:, region][:, self.mirror], points[:, region])

    def differing(self, made: Tensor, real: Tensor, points: Tensor) -> Tensor:
        """How different a shape it reads in made and real pictures [B, 3, S, S] of faces with `points` [B, 478, 2]."""
        middle = self.region.middle(points)
        with torch.no_grad():
            wanted = self(self.region.cut(real, middle)).float()
        said = self(self.region.cut(made, middle)).float()
        away = said - wanted
        # the shape alone: an absolute difference of all points together would only say that the head is a little off
        return (away - away.mean(dim=1, keepdim=True)).abs().mean()


class MouthsRecipe(ReenactRecipe):
    """Goes on from `begin`, the networks that `ReenactRecipe` trained."""

    name = "pcavs.mouths"
    phases = (
        Phase("judge", ("judge", "mouth_judge", "mouth_reader", "eyes_reader"), every=2),
        Phase("draw", DRAWING),
    )
    loss_weights: Mapping[str, float] = {
        **ReenactRecipe.loss_weights,
        "mouth_judge": 1.0,
        "mouth_lesson": 1.0,
        "eyes_lesson": 1.0,
        "mouth_read": 1.8,
        "eyes_read": 2.0,
        "parting": 14.0,
        "inside": 1.5,
        "mouth_fool": 0.04,
        "mouth_features": 1.2,
    }
    _draws = OptimizerConfig(lr=7e-4, betas=(0.9, 0.99), warmup_steps=100, final_ratio=0.02)
    _judges = OptimizerConfig(lr=4e-4, betas=(0.5, 0.99), warmup_steps=50, final_ratio=0.1)
    _reads = OptimizerConfig(lr=1e-3, betas=(0.9, 0.99), warmup_steps=50, final_ratio=0.05)
    optimizers = {
        **dict.fromkeys(DRAWING, _draws),
        **dict.fromkeys(("judge", "mouth_judge"), _judges),
        **dict.fromkeys(("mouth_reader", "eyes_reader"), _reads),
    }
    choice = CHOICE

    def __init__(
        self, clips: Sequence[CropClip], config: PcavsConfig, begin: Mapping[str, Mapping[str, Tensor]], *,
        held_out: Sequence[CropClip] = (), batch_size: int = 12,
    ) -> None:  # fmt: skip
        super().__init__(clips, config, held_out=held_out, batch_size=batch_size)
        self._begin = begin

    def networks(self) -> dict[str, nn.Module]:
        """Those of the first round, readers of lips and lids, and a judge of mouths."""
        networks = super().networks()
        for name, network in networks.items():
            network.load_state_dict(self._begin[name])
        self.mouth_judge = PatchDiscriminator(3, (24, 48, 72))
        usual = torch.from_numpy(self._pairs.usual_points())
        self.mouth_reader, self.eyes_reader = PointReader(MOUTH, usual), PointReader(EYES_REGION, usual)
        added = {name: getattr(self, name) for name in ("mouth_judge", "mouth_reader", "eyes_reader")}
        return networks | added

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        losses = super().losses(phase, batch, shared)
        made, points, target = shared["made"], batch["target_points"], signed_pictures(batch["target"])
        middle = MOUTH.middle(points)
        real, fake = (MOUTH.cut(pictures, middle) for pictures in (target, made))
        if phase == "judge":
            pictures = torch.cat([signed_pictures(batch["source"]), target])
            both = torch.cat([batch["source_points"], points])
            losses["mouth_judge"] = hinge_discriminator_loss(self.mouth_judge(real)[0], self.mouth_judge(fake)[0])
            losses["mouth_lesson"] = self.mouth_reader.lesson(pictures, both)
            losses["eyes_lesson"] = self.eyes_reader.lesson(pictures, both)
            return losses
        losses["parting"] = parting_loss(shared["drawn"], batch["source_points"], points)
        inside = batch["inside"][:, None].float() / 255
        losses["inside"] = ((made - target).abs().mean(1, keepdim=True) * inside).sum() / inside.sum().clamp(
            min=LEAST_INSIDE
        )
        scores, features = self.mouth_judge(fake)
        with torch.no_grad():
            wanted = self.mouth_judge(real)[1]
        asked = {
            "mouth_read": self.mouth_reader.differing(made, target, points),
            "eyes_read": self.eyes_reader.differing(made, target, points),
            "mouth_fool": hinge_generator_loss(scores),
            "mouth_features": feature_matching_loss(wanted, features),
        }
        known = float(shared["step"] >= READ_FROM)
        return losses | {name: loss * known for name, loss in asked.items()}

    def evaluate(self) -> dict[str, float]:
        """As in the first round; `drawn_gap`: slope of the gap that is read in drawn mouths over the one read in the
        true ones, their correlation `drawn_r`, the reader's own `read_r` with tracked gaps; `drawn_shut`: the slope of
        the eyes."""
        figures = super().evaluate()
        if not figures:
            return {}
        said: dict[str, list[Tensor]] = {"made": [], "real": [], "true": [], "made_shut": [], "real_shut": []}
        for batch in self._examples():
            made, points, target = self._draw(batch)[1], batch["target_points"], signed_pictures(batch["target"])
            for name, pictures in (("made", made), ("real", target)):
                said[name].append(_apart(self.mouth_reader, pictures, points, UPPER_LIP, LOWER_LIP))
                said[f"{name}_shut"].append(_apart(self.eyes_reader, pictures, points, UPPER_LID, LOWER_LID))
            said["true"].append((points[:, list(LOWER_LIP)] - points[:, list(UPPER_LIP)])[..., 1].mean(1) / READ_UNIT)
        made, real, true, made_shut, real_shut = (torch.cat(parts).cpu() for parts in said.values())
        return figures | {
            "drawn_gap": _slope(real, made),
            "drawn_r": correlation(real.numpy(), made.numpy()),
            "read_r": correlation(true.numpy(), real.numpy()),
            "drawn_shut": _slope(real_shut, made_shut),
        }


def parting_loss(drawn: Drawn, source: Tensor, target: Tensor) -> Tensor:
    """How far the flow is wrong about lips and lids moving apart; points [B, 478, 2] in [-1, 1]."""
    above, below = list(UPPER_LIP + UPPER_LID), list(LOWER_LIP + LOWER_LID)
    wanted = (source - target)[:, below] - (source - target)[:, above]
    moved = sampled(drawn.flow, target[:, below]) - sampled(drawn.flow, target[:, above])
    return (moved - wanted).abs().mean()


def _apart(reader: PointReader, pictures: Tensor, points: Tensor, above: Sequence[int], below: Sequence[int]) -> Tensor:
    """How far the points `below` are read under those `above`, [B]."""
    region = reader.region
    read = reader(region.cut(pictures, region.middle(points))).float()
    upper, lower = ([region.points.index(point) for point in side] for side in (above, below))
    return (read[:, lower, 1] - read[:, upper, 1]).mean(1)


def _slope(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum().clamp(min=1e-9))
