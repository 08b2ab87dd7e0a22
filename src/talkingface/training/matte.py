"""Training of the matte's refiner, on people keyed out before one colour and put before other backgrounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.clips.manifest import ClipEntry, list_clips, manifest_rows
from talkingface.face.key import Keyed
from talkingface.nn.state import arrays
from talkingface.nn.unet import UNet
from talkingface.training.matte_data import keyed_people, make_composite, make_samples, wall_pieces
from talkingface.training.optim import OptimizerConfig
from talkingface.training.pipeline import FREE, Stage, Trained, make_card, run_stages, save_made
from talkingface.training.prepare import something
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.speaking_clips import FREE_LICENCES
from talkingface.video.image import read_image
from talkingface.video.read import read_frames

NAME = "matte.v1"
INPUTS, FOLD, WIDTHS = 5, 2, (24, 32, 48, 64)
"""Of the U-Net: the planes of `face.matte.refiner_input`, and channels at 1/2 to 1/16 of the picture."""
PICTURES, SEED = 8, 1
"""`PICTURES` in a batch, two parts of each."""
STEPS = {"plain": 1560, "coloured": 600}
"""At first people wear their own colours, then any, for nobody wears blue before blue. The mean of both is kept."""
HELD_OUT = 24


class MatteRecipe(Recipe):
    """The change of the guided matte that makes it the true one; where that is 0 or 1, less and more is as good."""

    name = "matte"
    phases = (Phase("fit", ("refiner",)),)
    loss_weights = {"opacity": 1.0, "edges": 0.5, "coarse": 0.5}

    def __init__(
        self,
        people: Sequence[Sequence[Keyed]],
        walls: Sequence[np.ndarray],
        held_out: Sequence[Sequence[Keyed]] = (),
        *,
        pictures: int = PICTURES,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        """`start`: weights to go on from, from then on with people in any colours."""
        self._people, self._walls, self._pictures, self._start = people, walls, pictures, start
        first = OptimizerConfig(lr=2e-3, warmup_steps=100, hold=0.9)
        self.optimizers = {"refiner": first if start is None else OptimizerConfig(lr=1e-3, warmup_steps=50)}
        rng = make_rng(SEED, 1 << 30)
        self._held_out = self._samples(held_out, HELD_OUT if held_out else 0, rng)

    def networks(self) -> dict[str, nn.Module]:
        """The refiner."""
        self.refiner = UNet(INPUTS, 1, FOLD, WIDTHS)
        if self._start is not None:
            self.refiner.load_state_dict(self._start)
        return {"refiner": self.refiner}

    def _samples(
        self, people: Sequence[Sequence[Keyed]], count: int, rng: np.random.Generator
    ) -> list[dict[str, np.ndarray]]:
        pictures = (make_composite(people, self._walls, rng, self._start is not None) for _ in range(count))
        return [sample for picture in pictures for sample in make_samples(picture, rng)]

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Parts of composites, drawn anew each time."""
        rng = make_rng(seed, step)
        return _stacked(self._samples(self._people, self._pictures, rng))

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        truth = batch["truth"]
        found = batch["seen"][:, 4:] + self.refiner(batch["seen"])
        # where the person is whole or nowhere, more and less than that come to the same
        found = torch.where(truth <= 0, found.relu(), torch.where(truth >= 1, 1 - (1 - found).relu(), found))
        error = found - truth
        return {
            "opacity": error.abs().mean(),
            "edges": (error[..., 1:] - error[..., :-1]).abs().mean()
            + (error[..., 1:, :] - error[..., :-1, :]).abs().mean(),
            "coarse": functional.avg_pool2d(error, 8).abs().mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """Mean errors in percent on people that are held out, guided and refined; {} without any."""
        if not self._held_out:
            return {}
        batch = _stacked(self._held_out)
        guided = batch["seen"][:, 4:]
        refined = (guided + self.refiner(batch["seen"])).clamp(0, 1)
        return {
            name: 100 * float((matte - batch["truth"]).abs().mean())
            for name, matte in (("guided", guided), ("refined", refined))
        }

    def preview(self, step: int) -> dict[str, np.ndarray]:
        """Held-out parts: picture, guided, refined, truth."""
        if not self._held_out:
            return {}
        batch = _stacked(self._held_out[:16])
        seen = batch["seen"]
        refined = seen[:, 4:] + self.refiner(seen)
        mattes = [matte.expand(-1, 3, -1, -1) for matte in (seen[:, 4:], refined, batch["truth"])]
        rows = torch.cat([seen[:, :3], *mattes], 3).clamp(0, 1)
        picture = torch.cat([torch.cat([*rows[:8]], 1), torch.cat([*rows[8:]], 1)], 2).permute(1, 2, 0).numpy()
        return {"picture_guided_refined_truth": np.round(255 * picture).astype(np.uint8)}


def _stacked(samples: Sequence[Mapping[str, np.ndarray]]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.stack([sample[name] for sample in samples])) for name in samples[0]}


def make_weights(data: Path, folder: Path) -> Path:
    """From a data folder to `matte.v1`; returns the folder of the weights. Raises InputError.

    Only free material is used, so that the weights go with every other. Errors: `talkingface bench --what matte`.
    """
    clips = [clip for clip in list_clips(data) if clip.licence_class in FREE_LICENCES]
    val = {clip.identity for clip in clips if clip.split == "val"}
    train = [clip for clip in clips if clip.split == "train" and clip.identity not in val]
    people = keyed_people(train)
    something(list(people), "free train clip before an even backdrop", data)

    def make(done: Mapping[str, Trained]) -> MatteRecipe:
        held_out = keyed_people(clip for clip in clips if clip.split == "val")
        walls = wall_pieces(_pictures(data, train), SEED)
        start = done["plain"].networks["refiner"] if done else None
        return MatteRecipe([*people.values()], walls, [*held_out.values()], start=start)

    options = {"ema_decay": 0.998, "channels_last": True, "preview_every": 400, "evaluate_every": 400}
    stages = [
        Stage(name=name, steps=steps, make=make, settings={"widths": list(WIDTHS)}, options=options)
        for name, steps in STEPS.items()
    ]
    done = run_stages(folder / "matte", stages, seed=SEED, device="cpu")
    card = make_card(
        NAME,
        done,
        terms=FREE,
        data=f"{len(people)} people of free clips, keyed out, before public-domain, CC BY and drawn backgrounds",
        held_back="all people of val clips",
        seed=SEED,
        kind="matte",
    )
    return save_made(folder, arrays(_mean([done[name].networks["refiner"] for name in STEPS])), card)


def _mean(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of networks that one began as the other (Wortsman et al. 2022): better than both on people not seen."""
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in states[0]}


def _pictures(data: Path, clips: Sequence[ClipEntry]) -> Iterator[np.ndarray]:
    """Free portraits of the train split, and the first frames of clips."""
    for row in manifest_rows(data, kind="portrait", split="train"):
        if row["licence_class"] in FREE_LICENCES:
            yield read_image(data / row["file"]).opaque()
    for clip in clips:
        yield next(read_frames(clip.path)).rgb
