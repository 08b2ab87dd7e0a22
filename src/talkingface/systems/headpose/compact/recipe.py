"""Training of the compact renderer, on one person's clip or, for general weights, on those of many people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.spatial import transform
from torch import Tensor, nn

from talkingface.face.morphable import LinearFaceModel
from talkingface.face.raster import to_rgba
from talkingface.nn.gan import (
    PatchDiscriminator,
    feature_matching_loss,
    hinge_discriminator_loss,
    hinge_generator_loss,
)
from talkingface.person.heads import frame_pose
from talkingface.person.stages import psnr_db
from talkingface.systems.headpose.compact.data import HeadCrops
from talkingface.systems.headpose.compact.networks import CompactUNet, RendererOutput
from talkingface.systems.headpose.compositing.composite import Compositor, deform, face_weight, sample_view, view_matrix
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

PATCH = (0.22, 0.88, 0.2, 0.86)  # top, bottom, left, right of the mouth in the view: what the discriminator sees
NEAR_SHARE = 0.6  # share of composites from frames of nearly the same pose, as in use; the others are of any frame
NEAREST = 24  # frames that count as those of nearly the same pose
# First steps of a new renderer, which show its colours without the mask. With the mask from the first step on, the
# composite beat any colour, the mask shut within 100 steps and stayed shut: 24.9 dB, those of the bare composite.
UNMASKED_STEPS = 250
APART = 6  # least number of frames between composite and truth: a neighbour nearly is the truth
# Loss for each changed pixel, at the mouth and away from it. Without it the network repaints the whole face, which
# gains 0.5 dB over the view and loses all highlights of the skin.
CHANGE_COST = (0.004, 0.12)
COST_RADII = (0.2, 0.4)  # distances from the view's middle, in sides of the view, between which that loss rises
OUTSIDE = 0.05  # weight of pixels outside the face: hair and collar of another moment cannot be predicted


class RendererRecipe(Recipe):
    """`clips`: one or many; `start`: state dicts to go on from; `held_out`: frames for `evaluate` and previews, whose
    composites come from `clips[0]`."""

    name = "headpose.renderer"
    phases = (Phase("discriminator", ("discriminator",)), Phase("renderer", ("renderer",)))
    loss_weights: Mapping[str, float] = {
        "discriminator": 1.0,
        "l1": 4.0,
        "colour": 2.0,
        "mouth": 4.0,
        "edges": 4.0,
        "adversarial": 0.08,
        "features": 2.0,
        "sparse": 1.0,
        "smooth": 0.05,
    }
    optimizers = {
        "renderer": OptimizerConfig(lr=1e-3, betas=(0.9, 0.99), warmup_steps=50, final_ratio=0.02),
        "discriminator": OptimizerConfig(lr=4e-4, betas=(0.5, 0.99), warmup_steps=50, final_ratio=0.05),
    }

    def __init__(
        self,
        clips: Sequence[HeadCrops],
        model: LinearFaceModel,
        widths: tuple[int, ...],
        *,
        view_px: int,
        batch_size: int = 8,
        start: Mapping[str, Mapping[str, Tensor]] | None = None,
        held_out: HeadCrops | None = None,
    ) -> None:
        self._clips, self._model, self._widths = list(clips), model, widths
        self._view_px, self._batch_size, self._start, self._held_out = view_px, batch_size, start, held_out
        self._near = [nearest_poses(clip, absolute_rows(clip)) for clip in clips]
        self._share = np.array([len(clip) ** 0.5 for clip in clips])
        self._share /= self._share.sum()
        self._cost = torch.from_numpy(change_cost(view_px))

    def networks(self) -> dict[str, nn.Module]:
        """The renderer and the discriminator."""
        self.renderer = CompactUNet(self._widths)
        self.discriminator = PatchDiscriminator(6, (32, 64, 96))
        networks: dict[str, nn.Module] = {"renderer": self.renderer, "discriminator": self.discriminator}
        for name, state in (self._start or {}).items():
            networks[name].load_state_dict(state)
        return networks

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Composites and truths uint8 [B, S, S, 3], weights of the face uint8 [B, S, S]."""
        rng = make_rng(seed, step)
        compositor = Compositor((self._view_px, self._view_px))
        rows = []
        for _ in range(self._batch_size):
            number = int(rng.choice(len(self._clips), p=self._share))
            clip = self._clips[number]
            truth = int(rng.integers(len(clip)))
            near = self._near[number][truth]
            pick = near[int(rng.integers(len(near)))] if rng.random() < NEAR_SHARE else int(rng.integers(len(clip)))
            rows.append(make_pair(compositor, self._model, clip, int(pick), clip, truth))
        names = ("composite", "truth", "weight")
        return {
            name: torch.from_numpy(np.stack(part)) for name, part in zip(names, zip(*rows, strict=True), strict=True)
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        if "composite" not in shared:
            shared["composite"], shared["truth"] = to_pictures(batch["composite"]), to_pictures(batch["truth"])
            shared["weight"] = batch["weight"][:, None].float() / 255
        composite, truth, weight = shared["composite"], shared["truth"], shared["weight"]
        if phase == "discriminator":
            with torch.no_grad():
                fake = self.renderer(composite).over(composite)
            real_score, _ = self.discriminator(mouth_patch(truth, composite))
            fake_score, _ = self.discriminator(mouth_patch(fake, composite))
            return {"discriminator": hinge_discriminator_loss(real_score, fake_score)}
        output = self.renderer(composite)
        if self._start is None and shared["step"] < UNMASKED_STEPS:
            output = RendererOutput(colour=output.colour, mask=torch.zeros_like(output.mask))
        made = output.over(composite)
        score, fake_features = self.discriminator(mouth_patch(made, composite))
        with torch.no_grad():
            _, real_features = self.discriminator(mouth_patch(truth, composite))
        important = OUTSIDE + (1 - OUTSIDE) * weight
        top, bottom, left, right = patch_box(made.shape[-1])
        away = (made - truth).abs()
        return {
            "l1": (away * important).mean(),
            # colours that the mask hides have no other gradient; without one the mask could never open again
            "colour": ((output.colour - truth).abs() * important).mean(),
            "mouth": (away * important)[..., top:bottom, left:right].mean(),
            "edges": (edge_distance(made, truth) * important[..., 1:, 1:]).mean(),
            "adversarial": hinge_generator_loss(score),
            "features": feature_matching_loss(real_features, fake_features),
            "sparse": ((1 - output.mask) * self._cost.to(made.device)).mean(),
            "smooth": output.mask.diff(dim=-1).abs().mean() + output.mask.diff(dim=-2).abs().mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB over the view and over the mouth on held-out frames, composites from the training clip."""
        if self._held_out is None:
            return {}
        whole, mouth, bare = [], [], []
        top, bottom, left, right = patch_box(self._view_px)
        cut = (slice(top, bottom), slice(left, right))
        for composite, truth, made, weight in self._held_out_pictures(range(0, len(self._held_out), 5)):
            inside = weight > 127
            whole.append(psnr_db(made[inside], truth[inside]))
            bare.append(psnr_db(composite[inside], truth[inside]))
            mouth.append(psnr_db(made[cut][inside[cut]], truth[cut][inside[cut]]))
        return {
            "face_db": float(np.mean(whole)),
            "mouth_db": float(np.mean(mouth)),
            "composite_db": float(np.mean(bare)),
        }

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Composite, result and truth of held-out frames, one below the other."""
        if self._held_out is None:
            return {}
        numbers = np.linspace(0, len(self._held_out) - 1, 6).astype(int).tolist()
        rows = self._held_out_pictures(numbers)
        return {"mouths": np.concatenate([np.concatenate([c, made, truth]) for c, truth, made, _ in rows], axis=1)}

    def _held_out_pictures(self, numbers: Iterable[int]) -> Iterator[tuple[np.ndarray, ...]]:
        """Composite, truth, result uint8 and the face's weight for frames of the held-out clip."""
        assert self._held_out is not None
        compositor = Compositor((self._view_px, self._view_px))
        device = next(self.renderer.parameters()).device
        rows, wanted = absolute_rows(self._clips[0]), absolute_rows(self._held_out)
        for number in numbers:
            source = int(np.abs(rows - wanted[number]).sum(1).argmin())
            row = make_pair(compositor, self._model, self._clips[0], source, self._held_out, number)
            composite = to_pictures(torch.from_numpy(row[0][None]).to(device))
            made = self.renderer(composite).over(composite)
            yield row[0], row[1], to_uint8(made)[0], row[2]


def make_pair(
    compositor: Compositor, model: LinearFaceModel, clip: HeadCrops, source: int, truth_clip: HeadCrops, truth: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Composite of frame `source` warped to frame `truth`, that frame's own view, and the weight of its face: uint8."""
    target, size = frame_pose(truth_clip, truth), compositor.size[0]
    matrix = view_matrix(target, size)
    offset = clip.offsets[source]
    pose, goal = frame_pose(clip, source).moved(1.0, offset), target.moved(1.0, offset)
    points = clip.points[source] - np.array([*offset, 0.0], np.float32)
    change = truth_clip.expression[truth] - clip.expression[source]
    change[model.num_mouth :] = 0
    reached = deform(model, points, pose, change, goal)
    through = seen_from(matrix, offset)
    composite = sample_view(clip.frames[source], through, size)
    compositor.draw(to_rgba(clip.frames[source]), points, pose, goal, reached, composite, through)
    real = sample_view(truth_clip.frames[truth], seen_from(matrix, truth_clip.offsets[truth]), size)
    return composite, real, face_weight(reached, through, goal, size)


def seen_from(matrix: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """`matrix` [2, 3] for pixels counted from `offset` [2]."""
    return np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ offset])


def change_cost(size: int) -> np.ndarray:
    """The loss of a change at each pixel of the view: float32 [size, size], see `CHANGE_COST`."""
    place = (np.arange(size) + 0.5) / size - 0.5
    away = np.hypot(place[:, None], place[None])
    rise = np.clip((away - COST_RADII[0]) / (COST_RADII[1] - COST_RADII[0]), 0, 1)
    return (CHANGE_COST[0] + (CHANGE_COST[1] - CHANGE_COST[0]) * rise * rise * (3 - 2 * rise)).astype(np.float32)


def nearest_poses(clip: HeadCrops, rows: np.ndarray) -> list[np.ndarray]:
    """For each frame of `clip` (its `absolute_rows`) the frames of most similar pose, without its neighbours in time if
    there are others."""
    near = []
    for number, row in enumerate(rows):
        distance = np.abs(rows - row).sum(1)
        apart = np.abs(clip.numbers - clip.numbers[number]) >= APART
        distance = np.where(apart, distance, np.inf) if apart.any() else distance
        count = min(NEAREST, int(np.isfinite(distance).sum()))
        near.append(np.argsort(distance)[:count])
    return near


def absolute_rows(clip: HeadCrops) -> np.ndarray:
    """Poses as numbers whose distances look alike: radians, shifts in model units and log of scale, float64 [N, 6]."""
    turn = transform.Rotation.from_matrix(clip.rotation).as_rotvec()
    return np.column_stack([turn, clip.translation[:, :2] / clip.scale[:, None], np.log(clip.scale)])


def patch_box(size: int) -> tuple[int, int, int, int]:
    """`PATCH` in pixels of a view of `size`, even numbers."""
    top, bottom, left, right = (2 * round(share * size / 2) for share in PATCH)
    return top, bottom, left, right


def mouth_patch(picture: Tensor, composite: Tensor) -> Tensor:
    """The discriminator's input: the mouth of a picture and of its composite, [B, 6, h, w] in [-1, 1]."""
    top, bottom, left, right = patch_box(picture.shape[-1])
    both = torch.cat([picture, composite], dim=1)[..., top:bottom, left:right]
    return both * 2 - 1


def edge_distance(a: Tensor, b: Tensor) -> Tensor:
    """Difference of the gradients of two pictures [B, C, H, W]: [B, C, H-1, W-1]."""
    away = a - b
    return away.diff(dim=-1)[..., 1:, :].abs() + away.diff(dim=-2)[..., :, 1:].abs()


def to_pictures(values: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [0, 1], channels last in memory."""
    return values.permute(0, 3, 1, 2).float() / 255


def to_uint8(pictures: Tensor) -> np.ndarray:
    """float [B, 3, H, W] in [0, 1] -> uint8 [B, H, W, 3]."""
    return (pictures.float().clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
