"""The second round of the compact networks' training: mouths and eyes.

A speaking mouth moves by two pixels at 128, so mean differences of pictures hardly separate it from a resting one:
after the first round drawn lips moved 0.4 times as far as the code asked for. Here small networks learn to find the
landmarks of lips and lids in real pictures, and what they find in drawn ones must be the same. They do what FAN does in
the paper's losses, need no outside weights, and are not shipped. A second discriminator gets the mouth alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.lags import correlation
from talkingface.face.blink import LEFT_EYE, RIGHT_EYE
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import LOWER_LIP, UPPER_LIP
from talkingface.face.topology import LEFT_EYE_LOWER, LEFT_EYE_UPPER, LIPS, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from talkingface.nn.gan import PatchDiscriminator
from talkingface.systems.pcavs.alignment.crop import EYES
from talkingface.systems.pcavs.compact.data import Choice
from talkingface.systems.pcavs.compact.networks import Drawn, Tower, sampled, signed_pictures
from talkingface.systems.pcavs.compact.reenact_recipe import (
    DISCRIMINATOR,
    DRAWING,
    ReenactRecipe,
    adversarial_losses,
    discriminator_loss,
)
from talkingface.systems.pcavs.compact.views import MOUTH_BELOW, MOUTH_HALF, NOSE_TIP
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase
from talkingface.training.sync_data import mirrored_order

LIDS = tuple(sorted({*RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER, *LEFT_EYE_UPPER, *LEFT_EYE_LOWER}))
UPPER_LID, LOWER_LID = (RIGHT_EYE[side] + LEFT_EYE[side] for side in ("upper", "lower"))
OUTER_CORNERS = RIGHT_EYE["corners"][0], LEFT_EYE["corners"][1]
"""Of the eyes: the first is left in a picture, unless it is mirrored."""
POINT_UNIT = 0.05
"""What counts as one in the landmark networks' output, in halves of the side: about three pixels."""
JITTER = 0.05
"""Of a region's place while they learn: always in the same place, they would predict the mean face."""
LEAST_INSIDE = 100.0
"""Pixels of mouths' insides in a batch, from which their mean counts in full."""
LANDMARKS_FROM = 400
"""The step from which they, and the mouth's discriminator, train the generator; before, they are untrained."""


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the face: the landmarks `points` in it; its middle lies `below` the tip of the nose, its half sides are
    `half` (x, y), all in eye distances."""

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


class LandmarkNet(nn.Module):
    """A picture of a region [B, 3, R, R] -> its landmarks relative to its middle, [B, N, 2], in `POINT_UNIT`s.

    `usual` [478, 2]: a mean face, from which it begins.
    """

    usual: Tensor
    mirror: Tensor

    def __init__(self, region: Region, usual: Tensor) -> None:
        super().__init__()
        self.region = region
        self.tower = Tower(3, REGION_PX, (12, 24, 32, 48), 2 * len(region.points))
        self.register_buffer("usual", (usual[list(region.points)] - region.middle(usual[None])) / POINT_UNIT)
        order = mirrored_order(load_mesh478().mean[list(region.points)])
        self.register_buffer("mirror", torch.from_numpy(order), persistent=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.usual + self.tower(pictures).unflatten(1, (-1, 2))

    def training_loss(self, pictures: Tensor, points: Tensor) -> Tensor:
        """Loss on pictures [B, 3, S, S] with known landmarks [B, 478, 2]: at random places, half of them blurred, as
        drawn ones are."""
        middle = self.region.middle(points)
        middle = middle + JITTER * (2 * torch.rand_like(middle) - 1)
        wanted = (self._own_points(points) - middle[:, None]) / POINT_UNIT
        cut = self.region.cut(pictures, middle)
        soft = functional.avg_pool2d(cut, 5, stride=1, padding=2, count_include_pad=False)
        # none for half of them, up to full for the others
        blur = torch.rand(len(cut), 1, 1, 1, device=cut.device).sub(0.5).clamp(min=0) * 2
        return functional.smooth_l1_loss(self(cut + blur * (soft - cut)).float(), wanted)

    def _own_points(self, points: Tensor) -> Tensor:
        """The region's landmarks of faces [B, 478, 2]. In mirrored pictures points change sides with the face: without
        that the networks learned nothing."""
        region = list(self.region.points)
        mirrored = points[:, OUTER_CORNERS[0], 0] > points[:, OUTER_CORNERS[1], 0]
        return torch.where(mirrored[:, None, None], points[:, region][:, self.mirror], points[:, region])

    def shape_loss(self, made: Tensor, real: Tensor, points: Tensor) -> Tensor:
        """How different the shapes are that it finds in made and real pictures [B, 3, S, S] of faces with `points`
        [B, 478, 2]."""
        middle = self.region.middle(points)
        with torch.no_grad():
            wanted = self(self.region.cut(real, middle)).float()
        away = self(self.region.cut(made, middle)).float() - wanted
        # the shape alone: heads are off by a pixel and a half, which would hide it. Compared where they lie, the
        # correlation of drawn gaps stayed at 0.71; by shape it rose to 0.74 within 1100 steps
        return (away - away.mean(dim=1, keepdim=True)).abs().mean()


class MouthsRecipe(ReenactRecipe):
    """Goes on from `begin`, the networks that `ReenactRecipe` trained."""

    name = "pcavs.mouths"
    phases = (
        Phase("discriminate", ("discriminator", "mouth_discriminator", "mouth_landmarks", "eyes_landmarks"), every=2),
        Phase("draw", DRAWING),
    )
    loss_weights: Mapping[str, float] = {
        **ReenactRecipe.loss_weights,
        "mouth_discriminator": 1.0,
        "mouth_points": 1.0,
        "eyes_points": 1.0,
        "mouth_shape": 1.8,
        "eyes_shape": 2.0,
        "parting": 14.0,
        "inside": 1.5,
        "mouth_adversarial": 0.04,
        "mouth_matching": 1.2,
    }
    optimizers = {
        **dict.fromkeys(DRAWING, OptimizerConfig(lr=7e-4, betas=(0.9, 0.99), warmup_steps=100, final_ratio=0.02)),
        **dict.fromkeys(("discriminator", "mouth_discriminator"), DISCRIMINATOR),
        **dict.fromkeys(
            ("mouth_landmarks", "eyes_landmarks"),
            OptimizerConfig(lr=1e-3, betas=(0.9, 0.99), warmup_steps=50, final_ratio=0.05),
        ),
    }
    choice = Choice(turned=0.3, mouth=0.35, shut=0.12)

    def __init__(
        self, clips: Sequence[CropClip], config: PcavsConfig, begin: Mapping[str, Mapping[str, Tensor]], *,
        held_out: Sequence[CropClip] = (), batch_size: int = 12,
    ) -> None:  # fmt: skip
        super().__init__(clips, config, held_out=held_out, batch_size=batch_size)
        self._begin = begin

    def networks(self) -> dict[str, nn.Module]:
        """Those of the first round, landmark networks of lips and lids, and a discriminator of mouths."""
        networks = super().networks()
        for name, network in networks.items():
            network.load_state_dict(self._begin[name])
        self.mouth_discriminator = PatchDiscriminator(3, (24, 48, 72))
        usual = torch.from_numpy(self._pairs.mean_points())
        self.mouth_landmarks, self.eyes_landmarks = LandmarkNet(MOUTH, usual), LandmarkNet(EYES_REGION, usual)
        added = {name: getattr(self, name) for name in ("mouth_discriminator", "mouth_landmarks", "eyes_landmarks")}
        return networks | added

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        losses = super().losses(phase, batch, shared)
        made, points, target = shared["made"], batch["target_points"], signed_pictures(batch["target"])
        middle = MOUTH.middle(points)
        real, fake = (MOUTH.cut(pictures, middle) for pictures in (target, made))
        if phase == "discriminate":
            pictures = torch.cat([signed_pictures(batch["source"]), target])
            both = torch.cat([batch["source_points"], points])
            losses["mouth_discriminator"] = discriminator_loss(self.mouth_discriminator, real, fake)
            losses["mouth_points"] = self.mouth_landmarks.training_loss(pictures, both)
            losses["eyes_points"] = self.eyes_landmarks.training_loss(pictures, both)
            return losses
        losses["parting"] = parting_loss(shared["drawn"], batch["source_points"], points)
        # without this loss mouths opened, but were filled with the colour of lips; it turned them dark in 1000 steps
        inside = batch["inside"][:, None].float() / 255
        away = ((made - target).abs().mean(1, keepdim=True) * inside).sum()
        losses["inside"] = away / inside.sum().clamp(min=LEAST_INSIDE)
        adversarial, matching = adversarial_losses(self.mouth_discriminator, real, fake)
        learned = {
            "mouth_shape": self.mouth_landmarks.shape_loss(made, target, points),
            "eyes_shape": self.eyes_landmarks.shape_loss(made, target, points),
            "mouth_adversarial": adversarial,
            "mouth_matching": matching,
        }
        known = float(shared["step"] >= LANDMARKS_FROM)
        return losses | {name: loss * known for name, loss in learned.items()}

    def evaluate(self) -> dict[str, float]:
        """As in the first round; `drawn_gap`: slope of the gap that is found in drawn mouths over the one found in the
        true ones, their correlation `drawn_r`, and `read_r` of the latter with tracked gaps; `drawn_shut`: the slope of
        the eyes."""
        figures = super().evaluate()
        if not figures:
            return {}
        found: dict[str, list[Tensor]] = {"made": [], "real": [], "true": [], "made_shut": [], "real_shut": []}
        for batch in self._examples():
            made, points, target = self._draw(batch)[1], batch["target_points"], signed_pictures(batch["target"])
            for name, pictures in (("made", made), ("real", target)):
                found[name].append(_apart(self.mouth_landmarks, pictures, points, UPPER_LIP, LOWER_LIP))
                found[f"{name}_shut"].append(_apart(self.eyes_landmarks, pictures, points, UPPER_LID, LOWER_LID))
            found["true"].append((points[:, list(LOWER_LIP)] - points[:, list(UPPER_LIP)])[..., 1].mean(1) / POINT_UNIT)
        made, real, true, made_shut, real_shut = (torch.cat(parts).cpu() for parts in found.values())
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


def _apart(net: LandmarkNet, pictures: Tensor, points: Tensor, above: Sequence[int], below: Sequence[int]) -> Tensor:
    """How far under the landmarks `above` those `below` are found, [B]."""
    region = net.region
    found = net(region.cut(pictures, region.middle(points))).float()
    upper, lower = ([region.points.index(point) for point in side] for side in (above, below))
    return (found[:, lower, 1] - found[:, upper, 1]).mean(1)


def _slope(x: Tensor, y: Tensor) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / x.square().sum().clamp(min=1e-9))
