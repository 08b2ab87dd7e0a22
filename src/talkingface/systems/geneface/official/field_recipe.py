"""Trainings of the published radiance fields, head and torso, on one person's clip.

A step shows random pixels of one frame, which is read from the stored clip. Losses, rates and the order of things are
the published ones (release 1.1, RAD-NeRF), but for these: the face's rectangle is read as what it is, so that the
coordinates of the condition cost nothing inside the face; all rays get their samples; tables of codes have as many
rows as the clip has frames; networks that only judge stay in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.nn.lpips import Lpips
from talkingface.nn.perceptual import FeatureNet, feature_loss
from talkingface.systems.geneface.config import FieldTraining, RadNerfConfig
from talkingface.systems.geneface.official.camera import Rays, pixel_rays, pose_numbers, rectangle_pixels
from talkingface.systems.geneface.official.conditions import ClipConditions
from talkingface.systems.geneface.official.guard import TrainingGuard
from talkingface.systems.geneface.official.material import FieldClip, frame_of_step, training_frame
from talkingface.systems.geneface.official.occupancy import mark_unseen, update_occupancy, update_torso_occupancy
from talkingface.systems.geneface.official.radnerf import HeadField, TorsoField
from talkingface.systems.geneface.official.render import (
    draw_torso,
    entropy_bits,
    head_losses,
    mean_torso_density,
    see_head,
    torso_threshold,
    train_head,
)
from talkingface.systems.geneface.official.schedules import RATES
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

CAMERAS = 64
"""Cameras of the clip, evenly chosen, by which cells are found that nobody sees."""
JUDGED, SHOWN_PX = 6, 96
"""Held-out frames that figures are taken of, and the side of the pictures of a preview."""
_LIPS_PX = 64  # side of the lips as a perceptual network sees them
_PERCEPTUAL_SEED = 1
_SEEDS = 7919  # between the first weights of one start and the next

FIELD_RATES = OptimizerConfig(
    lr=RATES["nets"],
    betas=(0.9, 0.999),
    eps=1e-15,
    warmup_steps=0,
    final_ratio=0.1,
    decay="exponential",
    factors={
        "position_embedder": RATES["grids"] / RATES["nets"],
        "ambient_embedder": RATES["grids"] / RATES["nets"],
        "torso_embedder": RATES["grids"] / RATES["nets"],
        "cond_att_net": RATES["attention"] / RATES["nets"],
    },
)


Field = TypeVar("Field", bound=HeadField)


class FieldRecipe(Recipe, Generic[Field]):
    """What both trainings share: frames, rays, figures."""

    field: Field
    guard: TrainingGuard

    def __init__(self, clip: FieldClip, config: RadNerfConfig, training: FieldTraining, conditions: ClipConditions):
        self._clip, self._training, self._conditions = clip, training, conditions
        self._config = replace(config, codes=len(clip), inputs=conditions.inputs, window=conditions.window,
                               smoothed=conditions.smoothed)  # fmt: skip
        self._frames, self._camera = clip.frames(), clip.camera
        self._poses = torch.from_numpy(clip.poses).float()
        self._numbers = torch.from_numpy(pose_numbers(clip.poses)).float()
        self._train, self._test = np.flatnonzero(clip.train), np.flatnonzero(clip.test)

    def extra_state(self) -> dict[str, Any]:
        """What the guard remembers."""
        return {"guard": self.guard.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """See `extra_state`."""
        self.guard.load(state["guard"])

    def _rays(self, number: int, pixels: Tensor) -> Rays:
        return pixel_rays(self._poses[number].to(pixels.device), self._camera, pixels)

    def _condition(self, number: int, device: torch.device) -> Tensor:
        return self.field.encode_condition(torch.from_numpy(self._conditions[number]).to(device))

    def _chosen(self, step: int) -> int:
        """The frame whose condition, pose and code the occupancy grids of a step are looked at with."""
        return int(make_rng(step, len(self._clip)).choice(self._train))

    def _noise(self, step: int, *shape: int, device: torch.device) -> Tensor:
        """Random numbers that are the same in all processes, so that their grids are."""
        return torch.rand(*shape, generator=torch.Generator().manual_seed(step)).to(device)

    def _judged(self) -> list[int]:
        numbers = self._test if len(self._test) else self._train
        return np.unique(numbers[np.linspace(0, len(numbers) - 1, JUDGED).astype(int)]).tolist()

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB of held-out frames with their true condition and pose, within the face's square."""
        errors = []
        for number in self._judged():
            x, y, width, height = (int(v) for v in self._clip.faces[number])
            pixels = rectangle_pixels((y, y + height, x, x + width), self._clip.side_px)
            rng = make_rng(number, 0)
            pixels = pixels[torch.from_numpy(rng.permutation(len(pixels))[: self._training.rays])]
            errors.append((self._seen(number, pixels) - self._wanted(number, pixels)).square().mean())
        return {"face_db": float(-10 * torch.stack(errors).mean().clamp_min(1e-12).log10())} if errors else {}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Held-out frames as drawn, above the true ones, small."""
        side = min(SHOWN_PX, self._clip.side_px)
        places = torch.linspace(0, self._clip.side_px - 1, side).long()
        pixels = (places[:, None] * self._clip.side_px + places).flatten()
        columns = []
        for number in self._judged():
            pair = torch.stack([self._seen(number, pixels), self._wanted(number, pixels)])
            columns.append((pair.clamp(0, 1) * 255).to(torch.uint8).reshape(2 * side, side, 3).numpy())
        return {"frames": np.concatenate(columns, axis=1)}

    def _seen(self, number: int, pixels: Tensor) -> Tensor:
        """Colours [N, 3] of pixels of a frame, on the CPU."""
        raise NotImplementedError

    def _wanted(self, number: int, pixels: Tensor) -> Tensor:
        return pixel_colours(training_frame(self._clip, self._frames, number).real, pixels)

    def _code(self) -> Tensor:
        return shown_code(self.field.individual_embeddings, self._clip.train)


class HeadRecipe(FieldRecipe[HeadField]):
    """The radiance field of the head. `perceptual`: an `Lpips` with weights; None: features of a network of the
    toolkit's own form, as they are before any training."""

    name = "geneface.head"
    phases = (Phase("fit", ("field",)),)
    optimizers = {"field": FIELD_RATES}

    def __init__(
        self, clip: FieldClip, config: RadNerfConfig, training: FieldTraining, conditions: ClipConditions,
        perceptual: Lpips | None = None,
    ) -> None:  # fmt: skip
        super().__init__(clip, config, training, conditions)
        self._given = perceptual
        self._lips_from = int(training.lips_from * training.head_steps)
        self.loss_weights = dict(training.loss_weights)

    def networks(self) -> dict[str, nn.Module]:
        """The field, with cells that no camera sees marked, and what judges lips."""
        self.field = self._fresh()
        self._perceptual = self._given or _feature_net()
        training = self._training
        self.guard = TrainingGuard(self.field, self._anew, least_psnr=training.least_psnr, judged_at=training.judged_at)
        return {"field": self.field, "perceptual": self._perceptual}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Random pixels of one frame, or all of its lips."""
        rng = make_rng(seed, step)
        number, clip = frame_of_step(self._train, seed, step), self._clip
        lips = step >= self._lips_from and step % 2 == 1
        if lips:
            pixels = rectangle_pixels(_at_least(clip.lips[number], 8, clip.side_px), clip.side_px)
        else:
            pixels = torch.from_numpy(rng.integers(0, clip.side_px**2, self._training.rays))
        shown = training_frame(clip, self._frames, number)
        x, y, width, height = clip.faces[number]
        rows, columns = pixels.numpy() // clip.side_px, pixels.numpy() % clip.side_px
        face = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
        return {
            "number": torch.tensor(number),
            "pixels": pixels,
            "windows": torch.from_numpy(self._conditions[number]),
            "real": pixel_colours(shown.real, pixels),
            "behind": pixel_colours(shown.behind, pixels),
            "face": torch.from_numpy(face),
            "noise": torch.from_numpy(rng.random(len(pixels), np.float32)),
            "lips": torch.tensor(lips),
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `Recipe.losses`."""
        step, field = shared["step"], self.field
        self.guard.before(step)
        number = int(batch["number"])
        if step < self._lips_from and (step - self.guard.begun) % self._training.occupancy_every == 0:
            self._look(step, batch["pixels"].device)
        condition = field.encode_condition(batch["windows"])
        rays = self._rays(number, batch["pixels"])
        code = field.individual_embeddings[number]
        rgb, _, made = train_head(field, rays, condition.float(), batch["behind"], code, batch["noise"])
        found = head_losses(rgb, made, batch["real"], batch["face"])
        self.guard.see(found["mse"])
        found["ambient"] = found["ambient"] * min(1.0, step / self._training.head_steps)
        lips = bool(batch["lips"])
        found["perceptual"] = self._lip_loss(rgb, batch["real"], number) if lips else rgb.sum() * 0
        return found

    def _lip_loss(self, rgb: Tensor, real: Tensor, number: int) -> Tensor:
        top, bottom, left, right = _at_least(self._clip.lips[number], 8, self._clip.side_px)
        shape = (1, bottom - top, right - left, 3)
        pair = [values.reshape(shape).permute(0, 3, 1, 2).float().clamp(0, 1) for values in (rgb, real)]
        a, b = (functional.interpolate(v, (_LIPS_PX, _LIPS_PX), mode="bilinear", antialias=True) for v in pair)
        with torch.autocast(rgb.device.type, enabled=False):  # in half precision its norms overflow
            if isinstance(self._perceptual, Lpips):
                return self._perceptual(2 * a - 1, 2 * b - 1).mean()
            return feature_loss(self._perceptual, a, b)

    def _look(self, step: int, device: torch.device) -> None:
        side, number = self._config.side, self._chosen(step)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            update_occupancy(self.field, self._condition(number, device), self._noise(step, side**3, 3, device=device))

    def _fresh(self) -> HeadField:
        field = HeadField(self._config)
        chosen = np.unique(self._train[np.linspace(0, len(self._train) - 1, CAMERAS).astype(int)])
        mark_unseen(field, self._poses[chosen], self._camera)
        return field

    def _anew(self, start: int) -> None:
        """Other first weights, in place."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEEDS * start)
            state = self._fresh().state_dict()
        for name, value in self.field.state_dict().items():
            value.copy_(state[name])

    def _seen(self, number: int, pixels: Tensor) -> Tensor:
        device = next(self.field.parameters()).device
        rays = self._rays(number, pixels.to(device))
        head = see_head(self.field, rays, self._condition(number, device), self._code())
        behind = pixel_colours(training_frame(self._clip, self._frames, number).behind, pixels)
        return head.over(behind.to(device)).cpu()


class TorsoRecipe(FieldRecipe[TorsoField]):
    """The torso before the background, beside a finished head, whose state it begins with and never changes.

    A head-aware torso is always told the head; the published training told it in half of the steps.
    """

    name = "geneface.torso"
    phases = (Phase("fit", ("field",)),)
    optimizers = {"field": FIELD_RATES}

    def __init__(
        self, clip: FieldClip, config: RadNerfConfig, training: FieldTraining, conditions: ClipConditions,
        head: Mapping[str, Tensor],
    ) -> None:  # fmt: skip
        super().__init__(clip, config, training, conditions)
        self._head = head
        self.loss_weights = {name: training.loss_weights[name] for name in ("mse", "entropy")}

    def networks(self) -> dict[str, nn.Module]:
        """The whole field; what is the head's is frozen."""
        self.field = TorsoField(self._config)
        state = self.field.state_dict()
        for name, value in self._head.items():
            state[name].copy_(value)
            if name in dict(self.field.named_parameters()):
                self.field.get_parameter(name).requires_grad_(False)
        self.guard = TrainingGuard(self.field, None)
        return {"field": self.field}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Random pixels of one frame: the torso over the background."""
        rng = make_rng(seed, step)
        number, clip = frame_of_step(self._train, seed, step), self._clip
        pixels = torch.from_numpy(rng.integers(0, clip.side_px**2, self._training.rays))
        shown = training_frame(clip, self._frames, number)
        return {
            "number": torch.tensor(number),
            "pixels": pixels,
            "real": pixel_colours(shown.behind, pixels),
            "plate": pixel_colours(clip.plate, pixels),
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `Recipe.losses`."""
        step, field, device = shared["step"], self.field, batch["pixels"].device
        self.guard.before(step)
        number = int(batch["number"])
        if step % self._training.occupancy_every == 0:
            chosen, side = self._chosen(step), self._config.side
            noise = self._noise(step, side**2, 2, device=device)
            numbers, code = self._numbers[chosen].to(device), field.torso_individual_codes[chosen]
            with torch.autocast(device.type, enabled=False):
                update_torso_occupancy(field, numbers, code, noise)
        rays = self._rays(number, batch["pixels"])
        head = None
        if self._config.head_aware:
            head = see_head(field, rays, self._condition(number, device), self._code())
        threshold, code = torso_threshold(field, mean_torso_density(field)), field.torso_individual_codes[number]
        numbers = self._numbers[number].to(device)
        made = draw_torso(field, rays.background, numbers, batch["plate"], code, threshold=threshold, head=head)
        mse = (made.rgb - batch["real"]).square().mean()
        self.guard.see(mse)
        return {"mse": mse, "entropy": entropy_bits(made.alpha)}

    def _seen(self, number: int, pixels: Tensor) -> Tensor:
        field = self.field
        device = next(field.parameters()).device
        rays = self._rays(number, pixels.to(device))
        head = see_head(field, rays, self._condition(number, device), self._code())
        threshold = torso_threshold(field, mean_torso_density(field))
        plate, numbers = pixel_colours(self._clip.plate, pixels).to(device), self._numbers[number].to(device)
        code = shown_code(field.torso_individual_codes, self._clip.train)
        behind = draw_torso(field, rays.background, numbers, plate, code, threshold=threshold, head=head).rgb
        return head.over(behind).cpu()


def shown_code(codes: Tensor, train: np.ndarray) -> Tensor:
    """The code that a fitted field is drawn with: the mean of those that were learned. The published program takes
    that of the first frame."""
    return codes[torch.from_numpy(np.flatnonzero(train)).to(codes.device)].mean(0)


def pixel_colours(picture: np.ndarray, pixels: Tensor) -> Tensor:
    """Colours float32 [N, 3] in [0, 1] of pixels of a picture uint8 [S, S, 3]."""
    return torch.from_numpy(picture.reshape(-1, 3)[pixels.numpy()]).float() / 255


def _at_least(rectangle: np.ndarray, least: int, side: int) -> tuple[int, int, int, int]:
    """A rectangle (first row, last, first column, last), grown to `least` pixels a side within the picture."""
    top, bottom, left, right = (int(v) for v in rectangle)
    top, left = max(0, min(top, side - least)), max(0, min(left, side - least))
    return top, min(side, max(bottom, top + least)), left, min(side, max(right, left + least))


def _feature_net() -> FeatureNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_PERCEPTUAL_SEED)
        return FeatureNet()
