"""Trainings of the renderers before release 1.1 and of AD-NeRF on one person's clip: heads, and torsos before them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.geneface.config import FieldTraining
from talkingface.systems.geneface.official.camera import Intrinsics, camera_angles, rectangle_pixels
from talkingface.systems.geneface.official.conditions import ClipConditions
from talkingface.systems.geneface.official.field_recipe import JUDGED, pixel_colours
from talkingface.systems.geneface.official.guard import TrainingGuard
from talkingface.systems.geneface.official.material import FieldClip, frame_of_step
from talkingface.systems.geneface.official.parsing import head_picture, without_background
from talkingface.systems.geneface.official.schedules import RATES
from talkingface.systems.geneface.official.vanilla import (
    FAR,
    NEAR,
    AdNerf,
    LandmarkNerf,
    RayColours,
    TorsoNerf,
    even_depths,
    gather_colours,
    important_depths,
    merged_depths,
)
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

Head = Literal["nerf-head", "adnerf"]
_ATTENTIONS = ("lmatt_encoder", "audatt_net")
_BLOCK = 1024  # rays whose samples are in memory at a time where no gradients are kept
_JUDGED_RAYS = 256

NERF_RATES = OptimizerConfig(
    lr=RATES["nets"],
    betas=(0.9, 0.999),
    warmup_steps=0,
    final_ratio=0.1,
    decay="exponential",
    factors=dict.fromkeys(_ATTENTIONS, RATES["attention"] / RATES["nets"]),
)


def pixel_view(camera: np.ndarray, view: Intrinsics, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and directions float32 [N, 3] of the vanilla renderer for pixels int64 [N] (`camera.vanilla_rays`)."""
    rows, columns = pixels.div(view.width, rounding_mode="floor"), pixels % view.width
    x, y = (columns - view.cx) / view.fx, -(rows - view.cy) / view.fy
    turned = torch.from_numpy(np.asarray(camera, np.float32)).to(pixels.device)
    directions = torch.stack([x, y, -torch.ones_like(x)], -1).float() @ turned[:3, :3].T
    return turned[:3, 3].expand(len(pixels), 3), directions


def render_training(
    network: AdNerf | LandmarkNerf | TorsoNerf, rays: tuple[Tensor, Tensor], condition: Tensor, behind: Tensor,
    training: FieldTraining, noise: Tensor | None = None,
) -> tuple[RayColours, RayColours]:  # fmt: skip
    """What the fine and the coarse network see along rays of origins and directions [N, 3], before `behind` [N, 3].

    `noise` [N, 2] in [0, 1): by how much of a sample's length each ray's even and important samples are moved.
    """
    origins, directions = rays
    view = functional.normalize(directions, dim=-1)
    count, important = training.nerf_samples, training.nerf_important

    def look(points_of: nn.Module, depths: Tensor) -> RayColours:
        points = origins[:, None] + depths[..., None] * directions[:, None]
        raw = points_of(points, view, condition).float()
        return gather_colours(raw, depths, directions, behind)

    depths = even_depths(len(origins), count, NEAR, FAR, origins)
    quantiles = torch.linspace(0, 1, important, device=origins.device).expand(len(origins), -1)
    if noise is not None:
        depths = depths + (noise[:, :1] - 0.5) * (FAR - NEAR) / (count - 1)
        quantiles = ((quantiles * (important - 1) + noise[:, 1:]) / important).clamp(0, 1)
    first = look(network.model_coarse, depths)
    found = important_depths(depths, first.weights.detach(), quantiles)
    return look(network.model_fine, merged_depths(depths, found)), first


Network = TypeVar("Network", bound="AdNerf | LandmarkNerf | TorsoNerf")


class _NerfRecipe(Recipe, Generic[Network]):
    phases = (Phase("fit", ("nerf",)),)
    optimizers = {"nerf": NERF_RATES}
    loss_weights = {"fine": 1.0, "coarse": 1.0}
    network: Network
    guard: TrainingGuard

    def __init__(self, clip: FieldClip, training: FieldTraining, conditions: ClipConditions) -> None:
        self._clip, self._training, self._conditions = clip, training, conditions
        self._frames, self._camera = clip.frames(), clip.camera
        self._train, self._test = np.flatnonzero(clip.train), np.flatnonzero(clip.test)
        self._angles = camera_angles(clip.cameras).astype(np.float32)

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Pixels of one frame, most of them where it matters."""
        rng = make_rng(seed, step)
        number = frame_of_step(self._train, seed, step)
        return self._of(number, rng, self._training.nerf_rays)

    def _of(self, number: int, rng: np.random.Generator, rays: int) -> dict[str, Tensor]:
        side = self._clip.side_px
        within = self._within(number)
        inside = round(self._training.in_face * rays)
        pixels = torch.cat([
            within[torch.from_numpy(rng.integers(0, len(within), inside))],
            torch.from_numpy(rng.integers(0, side * side, rays - inside)),
        ])  # fmt: skip
        return {
            "number": torch.tensor(number),
            "pixels": pixels,
            "windows": torch.from_numpy(self._conditions[number]),
            "real": pixel_colours(self._picture(number), pixels),
            "plate": pixel_colours(self._clip.plate, pixels),
            "noise": torch.from_numpy(rng.random((rays, 2), np.float32)),
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `Recipe.losses`."""
        self.guard.before(shared["step"])
        fine, coarse = self._render(batch, shared["step"], batch["noise"])
        found = {"fine": _error(fine, batch["real"]), "coarse": _error(coarse, batch["real"])}
        self.guard.see(found["fine"])
        return found

    def evaluate(self) -> dict[str, float]:
        """PSNR in dB of some pixels of held-out frames."""
        numbers = self._test if len(self._test) else self._train
        errors = []
        for number in numbers[np.linspace(0, len(numbers) - 1, JUDGED).astype(int)].tolist():
            batch = self._of(number, make_rng(0, number), min(_JUDGED_RAYS, self._training.nerf_rays))
            device = next(self.network.parameters()).device
            batch = {name: value.to(device) for name, value in batch.items()}
            errors.append(_error(self._render(batch, self._training.nerf_steps, None)[0], batch["real"]))
        return {"view_db": float(-10 * torch.stack(errors).mean().clamp_min(1e-12).log10())}

    def extra_state(self) -> dict[str, Any]:
        """What the guard remembers."""
        return {"guard": self.guard.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """See `extra_state`."""
        self.guard.load(state["guard"])

    def _within(self, number: int) -> Tensor:
        raise NotImplementedError

    def _picture(self, number: int) -> np.ndarray:
        raise NotImplementedError

    def _render(self, batch: dict[str, Tensor], step: int, noise: Tensor | None) -> tuple[RayColours, RayColours]:
        raise NotImplementedError


class NerfHeadRecipe(_NerfRecipe["AdNerf | LandmarkNerf"]):
    """A head before the background, driven by landmarks ("nerf-head") or by speech ("adnerf")."""

    def __init__(self, kind: Head, clip: FieldClip, training: FieldTraining, conditions: ClipConditions) -> None:
        super().__init__(clip, training, conditions)
        self._kind: Head = kind
        self.name = f"geneface.{kind}"

    def networks(self) -> dict[str, nn.Module]:
        """Both networks and the condition's."""
        self.network = make_head(self._kind, self._training, self._conditions)
        self.guard = TrainingGuard(self.network, self._anew, least_psnr=self._training.least_psnr,
                                   judged_at=self._training.judged_at)  # fmt: skip
        return {"nerf": self.network}

    def _anew(self, start: int) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(start)
            state = make_head(self._kind, self._training, self._conditions).state_dict()
        for name, value in self.network.state_dict().items():
            value.copy_(state[name])

    def _within(self, number: int) -> Tensor:
        x, y, width, height = (int(v) for v in self._clip.faces[number])
        return rectangle_pixels((y, y + max(1, height), x, x + max(1, width)), self._clip.side_px)

    def _picture(self, number: int) -> np.ndarray:
        return head_picture(self._frames[number], self._clip.parts(number), self._clip.plate)

    def _render(self, batch: dict[str, Tensor], step: int, noise: Tensor | None) -> tuple[RayColours, RayColours]:
        camera = self._clip.cameras[int(batch["number"])]
        smooth = step >= self._training.smoothed_from * self._training.nerf_steps
        condition = self.network.encode_condition(batch["windows"], attention=smooth)
        rays = pixel_view(camera, self._camera, batch["pixels"])
        return render_training(self.network, rays, condition, batch["plate"], self._training, noise)


class NerfTorsoRecipe(_NerfRecipe[TorsoNerf]):
    """A torso before a finished head, seen by the camera of the first frame and told the head's pose and colours."""

    name = "geneface.nerf-torso"

    def __init__(
        self, clip: FieldClip, training: FieldTraining, speech: ClipConditions,
        head: AdNerf | LandmarkNerf, head_conditions: ClipConditions,
    ) -> None:  # fmt: skip
        super().__init__(clip, training, speech)
        self._head, self._head_conditions = head, head_conditions

    def networks(self) -> dict[str, nn.Module]:
        """The torso's, and the head's, frozen."""
        self.network = TorsoNerf(inputs=self._conditions.inputs, width=self._training.nerf_width)
        self.guard = TrainingGuard(self.network, None)
        return {"nerf": self.network, "head": self._head}

    def _within(self, number: int) -> Tensor:
        side = self._clip.side_px
        return torch.arange(side * (side // 2), side * side)

    def _picture(self, number: int) -> np.ndarray:
        return without_background(self._frames[number], self._clip.parts(number), self._clip.plate)

    def _render(self, batch: dict[str, Tensor], step: int, noise: Tensor | None) -> tuple[RayColours, RayColours]:
        number, clip = int(batch["number"]), self._clip
        pixels = batch["pixels"]
        head = self._see_head(number, pixels, batch["plate"])
        angles = torch.from_numpy(self._angles[number]).to(pixels.device)
        place = torch.from_numpy(clip.cameras[number, :3, 3].astype(np.float32)).to(pixels.device)
        condition = self.network.encode_condition(batch["windows"], angles, place, head)
        rays = pixel_view(clip.cameras[0], self._camera, pixels)
        return render_training(self.network, rays, condition, head, self._training, noise)

    @torch.no_grad()
    def _see_head(self, number: int, pixels: Tensor, plate: Tensor) -> Tensor:
        windows = torch.from_numpy(self._head_conditions[number]).to(pixels.device)
        condition = self._head.encode_condition(windows)
        seen = []
        for some, behind in zip(pixels.split(_BLOCK), plate.split(_BLOCK), strict=True):
            rays = pixel_view(self._clip.cameras[number], self._camera, some)
            seen.append(render_training(self._head, rays, condition, behind, self._training)[0].rgb)
        return torch.cat(seen)


def make_head(kind: Head, training: FieldTraining, conditions: ClipConditions) -> AdNerf | LandmarkNerf:
    """A new head for these conditions."""
    if kind == "nerf-head":
        return LandmarkNerf(width=training.nerf_width, window=conditions.window, smoothed=conditions.smoothed)
    return AdNerf(
        inputs=conditions.inputs,
        width=training.nerf_width,
        window=conditions.window,
        smoothed=conditions.smoothed,
    )


def load_head(
    kind: Head, training: FieldTraining, conditions: ClipConditions, state: Mapping[str, Tensor]
) -> AdNerf | LandmarkNerf:
    """A finished one. Raises RuntimeError for other tensors."""
    network = make_head(kind, training, conditions)
    network.load_state_dict(dict(state))
    return network


def _error(seen: RayColours, real: Tensor) -> Tensor:
    return (seen.rgb - real).square().mean()
