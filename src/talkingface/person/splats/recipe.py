"""Training of a person's splats on their clip."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.face.hidden_background import push_pull
from talkingface.face.mesh478_motion import pose_of_row
from talkingface.face.morphable import LinearFaceModel
from talkingface.face.topology import FACE_OVAL
from talkingface.person.held_out import LIP_POINTS, decibels, part_errors, square_about
from talkingface.person.splats.config import SplatConfig
from talkingface.person.splats.layout import Layout, backs, draw_order, jaw_directions, make_layout
from talkingface.person.splats.material import (
    MATTE_EVERY,
    MOST_DEVIATIONS,
    Canvas,
    PackedFrames,
    PersonMotion,
    matrix_of,
)
from talkingface.person.splats.model import DrawSplats, Splats, conics
from talkingface.person.splats.shape import MOST_RADIUS, FaceShape
from talkingface.person.splats.stored import pack
from talkingface.training.optim import OptimizerConfig
from talkingface.training.recipe import Phase, Recipe, make_rng

LOOKS = 40
FREE, SHOWN = 13, 76
"""Mattes (of 255) below and above which a pixel shows the background, and the person."""
BAND = 32
BEHIND_FACE = 0.35
"""Density of splats behind the face, of the mean one."""
BATCH = 2
MOUTH_WEIGHT, EYE_WEIGHT = 3.0, 2.0
RANDOM_BACKGROUND = 0.6
"""Of the frames whose matte is known, how many are learned before another background."""
UNSURE = 0.15
"""Deviations by which features are made uncertain in training: else colours follow the tracker's noise."""
SHARPNESS = 0.6
"""Weight of the differences between neighbouring pixels."""
CONTRAST, CONTRAST_PX = 2.0, 8
"""Weight of how much neighbours differ on average in squares of so many pixels: without it what cannot be foreseen to
the pixel is drawn blurred."""


class SplatRecipe(Recipe):
    """`frames` are the clip's frames `numbers` [M] on the `canvas`; `train` bool [M] of them are learned from, the
    others are held out. `motion` is that of the whole clip, and `landmarks` [T, 478, 3] are in its pixels."""

    name = "person.splats"
    phases = (Phase("draw", ("splats",)),)
    loss_weights = {"colour": 100.0, "edges": 100.0 * SHARPNESS, "calm": 3.0, "contrast": 100.0 * CONTRAST}

    def __init__(
        self,
        frames: PackedFrames,
        numbers: np.ndarray,
        train: np.ndarray,
        motion: PersonMotion,
        landmarks: np.ndarray,
        canvas: Canvas,
        model: LinearFaceModel,
        config: SplatConfig,
        seed: int = 1,
    ) -> None:
        self._frames, self._numbers, self._config, self._canvas, self._seed = frames, numbers, config, canvas, seed
        self._train, self._test = np.flatnonzero(train), np.flatnonzero(~train)
        self._motion = motion
        self.optimizers = {"splats": OptimizerConfig(lr=config.lr, hold=0.6, warmup_steps=50, final_ratio=0.02)}
        features = motion.features()
        learned = features[numbers[train]]
        self.mean, self.deviation = learned.mean(0), np.maximum(learned.std(0), 1e-3)
        self._features = np.clip((features - self.mean) / self.deviation, -MOST_DEVIATIONS, MOST_DEVIATIONS)
        self._shape = FaceShape.make(model, motion.neutral, config.level)
        self._rest = canvas.pose(motion.rest)
        self._jaw = jaw_directions(model)
        self._points = landmarks * np.float32(canvas.scale)

    def networks(self) -> dict[str, nn.Module]:
        plate, seen, share, detail = self._study()
        layout = make_layout(self._motion.neutral, self._rest, share, detail, self._config, self._seed)
        colour = self._first_colours(layout)
        self.splats = Splats(
            layout,
            self._config,
            self._canvas.size,
            self._rest.apply(layout.home),
            colour,
            torch.from_numpy(plate),
            torch.from_numpy(seen),
        )
        return {"splats": self.splats}

    def _study(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The plate float32 [3, H, W], where it was seen [H, W], where the person is [H, W], and how much there is to
        see [H, W]."""
        mattes = self._frames.mattes
        matted = self._train[self._train % MATTE_EVERY == 0]
        look = matted[np.unique(np.linspace(0, len(matted) - 1, LOOKS).astype(int))]
        size = self._canvas.size
        pictures = [self._frames[k] for k in look]
        masks = [cv2.resize(mattes[k // MATTE_EVERY], size) for k in look]
        seen = np.sum([mask < FREE for mask in masks], 0)
        plate = np.zeros(pictures[0].shape, np.float32)
        for y in range(0, size[1], BAND):  # a band at a time: all pictures as real numbers would take a gigabyte
            rows = slice(y, y + BAND)
            free = np.stack([mask[rows] < FREE for mask in masks])[..., None]
            band = np.where(free, np.stack([picture[rows] for picture in pictures]), np.float32(np.nan))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # pixels that always show the person
                plate[rows] = np.nanmedian(band, 0) / 255
        known = (seen >= 2).astype(np.float32)
        plate = push_pull(np.nan_to_num(plate), known)
        share = np.mean([mask > SHOWN for mask in masks], 0)
        gradient = np.zeros(share.shape, np.float32)
        for picture in pictures[:: max(1, len(pictures) // 8)]:
            grey = cv2.GaussianBlur(picture.mean(-1, dtype=np.float32), (0, 0), 1.0)
            gradient += np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        gradient = cv2.GaussianBlur(gradient, (0, 0), 3.0)
        detail = 0.3 * gradient.mean() + np.minimum(gradient, 4 * gradient.mean())
        # the mesh covers the face: behind it only what a turned head must not leave open
        face = np.zeros(share.shape, np.uint8)
        rest = self._rest.apply(self._motion.neutral)
        cv2.fillConvexPoly(face, np.round(rest[list(FACE_OVAL), :2]).astype(np.int32), (1,))
        detail = np.where(face > 0, BEHIND_FACE * detail.mean(), detail)
        return plate.transpose(2, 0, 1).copy(), known, share, detail.astype(np.float32)

    def _first_colours(self, layout: Layout) -> Tensor:
        """Of each splat, from the frame nearest to rest: [N, 3]."""
        rows = np.abs(self._motion.pose[self._numbers[self._train]]).sum(1)
        k = int(self._train[rows.argmin()])
        picture = self._frames[k].astype(np.float32) / 255
        number = self._numbers[k]
        inputs = self._inputs(number)
        corner = inputs["vertices"][layout.triangles].mean(1)
        head = inputs["head"]
        free = layout.home @ head[:, :3].T + head[:, 3]
        at = np.round(np.concatenate([corner, free])[:, :2]).astype(int)
        x, y = np.clip(at[:, 0], 0, picture.shape[1] - 1), np.clip(at[:, 1], 0, picture.shape[0] - 1)
        return torch.from_numpy(picture[y, x])

    def _inputs(self, number: int) -> dict[str, np.ndarray]:
        """What `Splats.forward` needs of a frame."""
        motion = self._motion
        return self.inputs(
            self._features[number], motion.expression[number], motion.pose[number], float(motion.closure[number, 0]),
            motion.look[number],
        )  # fmt: skip

    def inputs(
        self, features: np.ndarray, expression: np.ndarray, pose: np.ndarray, closure: float, look: np.ndarray
    ) -> dict[str, np.ndarray]:
        """What `Splats.forward` needs of a motion: `features` [NUM_FEATURES] in deviations, `expression` [20], `pose`
        [6], lids that are closed by `closure`, and where the eyes `look` in their head, [2]."""
        head = self._canvas.pose(pose_of_row(pose, self._motion.rest))
        return {
            "features": features.astype(np.float32),
            "vertices": head.apply(self._shape.vertices(expression, closure)).astype(np.float32),
            "head": matrix_of(head),
            "rest": matrix_of(self._rest),
            "jaw": (self._jaw @ expression).astype(np.float32),
            "look": self._shape.look(look).astype(np.float32),
        }

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        rng = make_rng(seed, step)
        rows, pictures, weights, mixes, grounds = [], [], [], [], []
        width, height = self._canvas.size
        for _ in range(BATCH):
            k = int(rng.choice(self._train))
            number = int(self._numbers[k])
            row = self._inputs(number)
            unsure = rng.normal(0, UNSURE, row["features"].shape)
            rows.append({**row, "features": (row["features"] + unsure).astype(np.float32)})
            picture = self._frames[k]
            pictures.append(torch.from_numpy(picture))
            weights.append(torch.from_numpy(self._weight(number)))
            share = np.ones((height, width), np.float32)
            ground = np.zeros(3, np.float32)
            if k % MATTE_EVERY == 0 and rng.random() < RANDOM_BACKGROUND:
                share = cv2.resize(self._frames.mattes[k // MATTE_EVERY], (width, height)).astype(np.float32) / 255
                ground = rng.random(3).astype(np.float32)
                mixes.append(1)
            else:
                mixes.append(0)
            grounds.append(
                torch.from_numpy(
                    np.concatenate([np.broadcast_to(ground[:, None, None], (3, height, width)), share[None]])
                )
            )
        found = {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}
        return found | {
            "picture": torch.stack(pictures), "weight": torch.stack(weights), "mixed": torch.tensor(mixes),
            "ground": torch.stack(grounds),
        }  # fmt: skip

    def _weight(self, number: int) -> np.ndarray:
        """How much each pixel counts, float32 [H, W]."""
        width, height = self._canvas.size
        weight = np.ones((height, width), np.float32)
        points = self._points[number, :, :2]
        for chosen, value in (
            (LIP_POINTS, MOUTH_WEIGHT),
            ((33, 133, 159, 145), EYE_WEIGHT),
            ((362, 263, 386, 374), EYE_WEIGHT),
        ):
            x0, y0, x1, y1 = square_about(points[list(chosen)])
            weight[y0:y1, x0:x1] = value
        return weight

    def draw(self, row: dict[str, Tensor], behind: Tensor | None = None) -> Tensor:
        """Pictures [B, 3, H, W] of the frames whose inputs are in `row` [B, ...]."""
        count = len(row["features"])
        splats, plate = self.splats, self.splats.background()
        parts, radii, orders = [], [], []
        for k in range(count):
            centre, depth, cov, opacity, colour = splats(
                *(row[n][k] for n in ("features", "vertices", "head", "rest", "jaw", "look"))
            )
            conic, opacity, radius = conics(cov, opacity)
            most = MOST_RADIUS * max(self._canvas.size)
            parts.append((centre, conic, opacity, colour))
            radii.append(np.minimum(radius, most).astype(np.float32))
            radii[-1][: splats.layout.skin][
                backs(row["vertices"][k].numpy(), splats.layout.triangles[: splats.layout.skin])
            ] = -1
            orders.append(draw_order(splats.layout, depth.detach().numpy()))
        stacked = [torch.stack([part[j] for part in parts]) for j in range(4)]
        ground = plate.expand(count, *plate.shape) if behind is None else behind
        return DrawSplats.apply(*stacked, ground, radii, orders)  # type: ignore[no-any-return]

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict) -> dict[str, Tensor]:
        plate = self.splats.background()
        mixed = batch["mixed"][:, None, None, None].bool()
        ground, share = batch["ground"][:, :3], batch["ground"][:, 3:]
        behind = torch.where(mixed, ground, plate)
        real = batch["picture"].permute(0, 3, 1, 2).float() / 255
        real = torch.where(mixed, real + (1 - share) * (ground - plate.detach()), real)
        made = self.draw(batch, behind)
        weight = batch["weight"][:, None]
        total = weight.mean()
        wrong = made - real
        across, down = wrong[..., 1:] - wrong[..., :-1], wrong[..., 1:, :] - wrong[..., :-1, :]
        edges = (across.abs() * weight[..., 1:]).mean() + (down.abs() * weight[..., 1:, :]).mean()
        moves = self.splats.moves
        return {
            "contrast": (contrast(made) - contrast(real)).abs().mean(),
            "colour": ((wrong.abs() + 0.5 * wrong**2) * weight).mean() / total,
            "edges": edges / total / 2,
            "calm": (moves**2).mean(),
        }

    @torch.no_grad()
    def drawn(self, k: int) -> np.ndarray:
        """Frame `k` of `numbers` as the splats draw it now: uint8 [H, W, 3]."""
        inputs = {name: torch.from_numpy(value[None]) for name, value in self._inputs(int(self._numbers[k])).items()}
        made = self.draw(inputs)[0].clamp(0, 1)
        return (made.permute(1, 2, 0) * 255).round().byte().numpy()

    def tensors(self, state: Mapping[str, np.ndarray], learned: np.ndarray) -> dict[str, np.ndarray]:
        """The avatar's arrays of trained splats (their `state`); `learned` bool [T]: frames that tell where lids and
        eyes rest."""
        splats = self.splats
        plate = splats.first_plate + splats.seen * torch.from_numpy(state["plate"].astype(np.float32))
        return pack(
            state, plate.clamp(0, 1).numpy(), splats.layout, self._config.level, self._canvas, self._motion, self.mean,
            self.deviation, learned,
        )  # fmt: skip

    def evaluate(self) -> dict[str, float]:
        """Of some frames that are not learned from: see `person.held_out.part_errors`."""
        errors = [
            part_errors(self.drawn(k), self._frames[k], self._points[self._numbers[k]])
            for k in self._test[:: max(1, len(self._test) // 20)]
        ]
        names = ("square_db", "oval_db", "mouth_db")
        return dict(zip(names, decibels(np.mean(errors, axis=0)).tolist(), strict=True)) if errors else {}

    def preview(self, step: int) -> dict[str, np.ndarray]:
        chosen = self._test[np.linspace(0, len(self._test) - 1, 3).astype(int)]
        rows = [np.concatenate([self._frames[k], self.drawn(k)], 0) for k in chosen]
        return {"held_out": np.concatenate(rows, 1)}


def contrast(pictures: Tensor) -> Tensor:
    """How much neighbouring pixels differ on average in squares of eight, [B, 3, H / 8, W / 8]."""
    across = functional.avg_pool2d((pictures[..., 1:] - pictures[..., :-1]).abs(), CONTRAST_PX)
    down = functional.avg_pool2d((pictures[..., 1:, :] - pictures[..., :-1, :]).abs(), CONTRAST_PX)
    height, width = min(across.shape[2], down.shape[2]), min(across.shape[3], down.shape[3])
    return across[..., :height, :width] + down[..., :height, :width]
