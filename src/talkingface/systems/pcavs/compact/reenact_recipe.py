"""The first of two rounds in which pictures alone train the compact networks (the second: `mouth_recipe.py`).

Reenactment comes before speech: the authors found, after the paper, that a pose space comes faster so
(docs/systems/pcavs.md). The paper's stage 2 trains both encoders at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.face.topology import LIPS
from talkingface.nn.gan import PatchDiscriminator, feature_matching_loss, hinge_discriminator_loss, hinge_generator_loss
from talkingface.systems.pcavs.alignment.align import MOUTH_POINTS
from talkingface.systems.pcavs.alignment.crop import EYES
from talkingface.systems.pcavs.compact.data import Choice, Pairs
from talkingface.systems.pcavs.compact.networks import (
    Drawn,
    Generator,
    Identity,
    IdentityNet,
    MouthNet,
    PoseNet,
    sampled,
    signed_mouths,
    signed_pictures,
)
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.crops import CropClip
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

DISCRIMINATOR_AREA = (0.14, 0.86, 0.1, 0.9)
"""Top, bottom, left, right of the discriminator's part of the square, in sides."""
BEHIND = 0.3
"""Weight of what lies outside the head."""
EXAMPLES = 96
"""Pairs of held-out people for `evaluate`."""
MOUTH_NOISE = 0.05
LATER = {"lips": 3.0, "kept": 2.0}
"""Factors on losses once heads are where they belong: until then the lips' few pixels and points train nothing. Without
them heads turned and mouths stayed shut; with them mouths opened within 500 steps."""
LIPS_COUNT = 8.0
"""How much a point of the lips counts in the flow from then on, beside others."""
DRAWING = ("identity", "mouth", "pose", "generator")
"""The networks that pictures alone train."""
DISCRIMINATOR = OptimizerConfig(lr=4e-4, betas=(0.5, 0.99), warmup_steps=50, final_ratio=0.1)


class ReenactRecipe(Recipe):
    """Identity, mouth, pose and generator from pairs of frames of one person.

    `mouths_from`: the step from which mouths count more. `adversarial_from`: the step from which a discriminator judges
    sharpness; earlier pictures are too blurred for it to train on.
    """

    name = "pcavs.reenact"
    phases = (Phase("discriminate", ("discriminator",), every=2), Phase("draw", DRAWING))
    loss_weights: Mapping[str, float] = {
        "discriminator": 1.0,
        "l1": 6.0,
        "coarse": 6.0,
        "lips": 3.0,
        "edges": 4.0,
        "colour": 0.6,
        "flow": 12.0,
        "smooth": 0.4,
        "kept": 0.06,
        "pose_features": 0.3,
        "mouth_features": 0.3,
        "code_norm": 1e-3,
        "adversarial": 0.05,
        "matching": 1.5,
    }
    optimizers = {
        **dict.fromkeys(DRAWING, OptimizerConfig(lr=1.2e-3, betas=(0.9, 0.99), warmup_steps=100, final_ratio=0.02)),
        "discriminator": DISCRIMINATOR,
    }
    choice = Choice()

    def __init__(
        self, clips: Sequence[CropClip], config: PcavsConfig, *, held_out: Sequence[CropClip] = (),
        batch_size: int = 12, mouths_from: int = 0, adversarial_from: int = 0,
    ) -> None:  # fmt: skip
        self._config, self._batch_size, self._adversarial_from = config, batch_size, adversarial_from
        self._mouths_from = mouths_from
        # held-out pairs are not augmented: figures are of pictures as they are in use
        self._pairs = Pairs(clips, config.compact, choice=self.choice)
        self._held_out = Pairs(held_out, config.compact, augmented=False)

    def networks(self) -> dict[str, nn.Module]:
        """Those that draw, and the discriminator."""
        codes, compact = self._config.codes, self._config.compact
        self.identity, self.mouth = IdentityNet(codes, compact), MouthNet(codes, compact)
        self.pose, self.generator = PoseNet(codes, compact), Generator(codes, compact)
        self.discriminator = PatchDiscriminator(3, (32, 64, 96))
        return {name: getattr(self, name) for name in (*DRAWING, "discriminator")}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """See `Pairs.draw`."""
        return self._pairs.draw(make_rng(seed, step), self._batch_size)

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`. Leaves what was drawn in `shared`: `made` [B, 3, S, S], in phase `discriminate` only from
        `adversarial_from` on, and in phase `draw` `drawn`."""
        target = signed_pictures(batch["target"])
        adversarial = shared["step"] >= self._adversarial_from
        if phase == "discriminate":
            if not adversarial:  # a loss that depends on the network, but moves nothing
                return {"discriminator": torch.stack([p.sum() for p in self.discriminator.parameters()]).sum() * 0.0}
            with torch.no_grad():
                fake = shared["made"] = self._draw(batch)[1]
            return {"discriminator": discriminator_loss(self.discriminator, _area(target), _area(fake))}
        drawn, made, codes = self._draw(batch, noise=MOUTH_NOISE)
        shared |= {"drawn": drawn, "made": made}
        losses = picture_losses(drawn, made, target, batch["target_points"])
        later = shared["step"] >= self._mouths_from
        losses |= flow_losses(
            drawn, batch["source_points"], batch["target_points"], lips_count=LIPS_COUNT if later else 1.0
        )
        losses |= {name: losses[name] * factor for name, factor in LATER.items()} if later else {}
        exact = batch["exact"][:, None]  # with other proportions place and size are not exact
        pose = functional.smooth_l1_loss(
            self.pose.facts(codes["pose"]).float(), batch["pose_features"], reduction="none"
        )
        own = functional.smooth_l1_loss(self.pose.facts(codes["own"]).float(), batch["own_features"])
        losses["pose_features"] = (pose * (0.2 + 0.8 * exact)).mean() + own
        losses["mouth_features"] = functional.smooth_l1_loss(
            self.mouth.facts(codes["mouth"]).float(), batch["mouth_features"]
        )
        losses["code_norm"] = codes["mouth"].float().square().mean() + codes["pose"].float().square().mean()
        if adversarial:
            real, fake = _area(target), _area(made)
            losses["adversarial"], losses["matching"] = adversarial_losses(self.discriminator, real, fake)
        return losses

    def _draw(self, batch: dict[str, Tensor], noise: float = 0.0) -> tuple[Drawn, Tensor, dict[str, Tensor]]:
        identity: Identity = self.identity(signed_pictures(batch["source"]))
        both = self.pose(signed_pictures(torch.cat([batch["own_pose"], batch["pose"]])))
        own, pose = both.chunk(2)
        mouth = self.mouth(signed_mouths(batch["mouth"]))
        # speech will not hit the mouth code exactly: drawing has to bear that
        noisy = mouth + noise * torch.randn_like(mouth) if noise else mouth
        drawn: Drawn = self.generator(identity, own, noisy, pose)
        return drawn, drawn.on(identity.picture), {"own": own, "pose": pose, "mouth": mouth}

    def evaluate(self) -> dict[str, float]:
        """On pairs of held-out people: PSNR in dB over the head, made and of the unmoved identity frame; error of the
        flow in halves of the side; correlation of the mouth's gap, of pitch and of yaw with what the codes predict."""
        if not len(self._held_out):
            return {}
        rows: dict[str, list[float]] = {"made_db": [], "still_db": [], "lips_db": [], "flow": []}
        predicted, true = [], []
        for batch in self._examples():
            drawn, made, codes = self._draw(batch)
            target, source = signed_pictures(batch["target"]), signed_pictures(batch["source"])
            weight = head_weight(batch["target_points"], made.shape[-1])
            lips = lip_weight(batch["target_points"], made.shape[-1])
            rows["made_db"] += _decibels(made, target, weight)
            rows["still_db"] += _decibels(source, target, weight)
            rows["lips_db"] += _decibels(made, target, lips)
            rows["flow"].append(float(flow_losses(drawn, batch["source_points"], batch["target_points"])["flow"]))
            predicted.append(
                torch.cat([self.mouth.facts(codes["mouth"])[:, :1], self.pose.facts(codes["pose"])[:, :3]], 1)
            )
            true.append(torch.cat([batch["mouth_features"][:, :1], batch["pose_features"][:, :3]], 1))
        figures = {name: float(np.mean(values)) for name, values in rows.items()}
        a, b = torch.cat(predicted).float().cpu().numpy(), torch.cat(true).cpu().numpy()
        figures |= {
            name: float(np.corrcoef(a[:, k], b[:, k])[0, 1]) for k, name in ((0, "gap_r"), (1, "pitch_r"), (2, "yaw_r"))
        }
        return figures

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Identity, result, truth, and where colours are generated, one below the other, for held-out people."""
        if not len(self._held_out):
            return {}
        batch = next(self._examples(12))
        drawn, made, _ = self._draw(batch)
        generated = (1 - drawn.mask.float()).expand(-1, 3, -1, -1) * 2 - 1
        rows = [signed_pictures(batch["source"]), made, signed_pictures(batch["target"]), generated]
        return {"people": np.concatenate([np.concatenate(list(to_uint8(row)), axis=1) for row in rows])}

    def _examples(self, size: int = 24) -> Any:
        device = next(self.generator.parameters()).device
        rng = make_rng(0, 0)
        for _ in range(max(1, EXAMPLES // size)):
            batch = self._held_out.draw(rng, size)
            yield {name: value.to(device) for name, value in batch.items()}


def discriminator_loss(network: PatchDiscriminator, real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's side, for pictures [B, 3, h, w]."""
    return hinge_discriminator_loss(network(real)[0], network(fake)[0])


def adversarial_losses(network: PatchDiscriminator, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """The generator's side: the distance of `fake` from real, and the distance between the features of both."""
    scores, features = network(fake)
    with torch.no_grad():
        wanted = network(real)[1]
    return hinge_generator_loss(scores), feature_matching_loss(wanted, features)


def picture_losses(drawn: Drawn, made: Tensor, target: Tensor, points: Tensor) -> dict[str, Tensor]:
    """How far `made` [B, 3, S, S] is from `target`, whose points are [B, 478, 2] in [-1, 1]."""
    weight = BEHIND + (1 - BEHIND) * head_weight(points, made.shape[-1])
    lips = lip_weight(points, made.shape[-1])
    away = (made - target).abs()
    # differences of neighbours: a blurred picture is near in colour and far in edges
    edges = (made - target).diff(dim=-1)[..., 1:, :].abs() + (made - target).diff(dim=-2)[..., :, 1:].abs()
    # on coarse pictures colours far from an edge still pull it
    coarse = functional.avg_pool2d((made - target) * weight, 4).abs().mean()
    return {
        "l1": (away * weight).mean(),
        "coarse": coarse + functional.avg_pool2d((made - target) * weight, 8).abs().mean(),
        "lips": (away * lips).mean() / lips.mean() * 0.2,
        "edges": (edges * weight[..., 1:, 1:]).mean(),
        # colours are trained also where the mask hides them, so that it can come back
        "colour": ((drawn.colour - target).abs() * weight).mean(),
        "kept": ((1 - drawn.mask) * (1 - lips)).mean(),
    }


def flow_losses(drawn: Drawn, source: Tensor, target: Tensor, lips_count: float = 1.0) -> dict[str, Tensor]:
    """How far the flow is from the movement of the tracked points [B, 478, 2], and how rough it is.

    A point of the lips counts `lips_count` times.
    """
    # flow goes backwards: from a place in the result to where it comes from
    wanted = source - target
    count = torch.ones(target.shape[1], 1, device=target.device)
    count[list(LIPS)] = lips_count
    # the loss keeps its size, whatever lips count
    count /= count.mean()
    fine = ((sampled(drawn.flow, target) - wanted).abs() * count).mean()
    coarse = ((sampled(drawn.coarse, target) - wanted).abs() * count).mean()
    # second differences: a stretch is smooth, a fold is not
    bends = [drawn.flow.diff(n=2, dim=dim).abs().mean() for dim in (-1, -2)]
    return {"flow": fine + 0.5 * coarse, "smooth": bends[0] + bends[1]}


def head_weight(points: Tensor, size: int) -> Tensor:
    """[B, 1, S, S]: 1 on the head whose points are [B, 478, 2] in [-1, 1], falling to 0 around it."""
    low, high = points.amin(1), points.amax(1)
    middle, half = (low + high) / 2, (high - low) / 2 * 1.35 + 0.02
    return _bump(middle - torch.tensor([0.0, 0.06], device=points.device), half, size, 4.0)


def lip_weight(points: Tensor, size: int) -> Tensor:
    """[B, 1, S, S]: 1 on the mouth, falling to 0 around it."""
    middle = points[:, list(MOUTH_POINTS)].mean(1)
    return _bump(
        middle, torch.full_like(middle, 0.42 * EYES) * torch.tensor([1.25, 1.0], device=points.device), size, 3.0
    )


def _bump(middle: Tensor, half: Tensor, size: int, sharpness: float) -> Tensor:
    axis = (torch.arange(size, device=middle.device) * 2 + 1) / size - 1
    away = ((axis - middle[..., None]) / half[..., None]).square()  # [B, 2, S]
    radius = away[:, 0][:, None, :] + away[:, 1][:, :, None]
    return torch.sigmoid(sharpness * (1 - radius))[:, None]


def _area(pictures: Tensor) -> Tensor:
    size = pictures.shape[-1]
    top, bottom, left, right = (2 * round(share * size / 2) for share in DISCRIMINATOR_AREA)
    return pictures[..., top:bottom, left:right]


def to_uint8(pictures: Tensor) -> np.ndarray:
    """float [B, 3, H, W] in [-1, 1] -> uint8 [B, H, W, 3]."""
    values = (pictures.float().clamp(-1, 1) * 127.5 + 127.5).round().byte()
    return values.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def _decibels(a: Tensor, b: Tensor, weight: Tensor) -> list[float]:
    squared = ((a.float().clamp(-1, 1) - b) / 2).square().mean(1, keepdim=True) * weight
    error = squared.sum((1, 2, 3)) / weight.sum((1, 2, 3))
    return (-10 * torch.log10(error.clamp(min=1e-9))).tolist()
