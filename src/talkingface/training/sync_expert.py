"""Training of the sync expert: which of 31 time shifts brings a mouth and a sound together?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.mel import NUM_BANDS
from talkingface.audio.sync_mel import COLUMNS_PER_FRAME, SILENCE, sync_mel
from talkingface.clips.manifest import listed_lags, prepared_clips
from talkingface.face.mouth_view import VIEW_FPS, without_contrast
from talkingface.nn.state import arrays
from talkingface.nn.sync_config import SyncConfig
from talkingface.nn.sync_net import SyncNet, cosines_at_lags
from talkingface.training.optim import OptimizerConfig
from talkingface.training.pipeline import (
    RESEARCH,
    Stage,
    Trained,
    held_back_of,
    kept,
    make_card,
    run_stages,
    save_made,
)
from talkingface.training.prepare import prepare_data, something
from talkingface.training.recipe import Phase, Recipe, make_rng
from talkingface.training.sync_data import (
    SPEEDS,
    SyncClip,
    at_speed,
    heard_differently,
    make_views,
    mirrored_order,
    seen_differently,
    sync_clips,
)

NAME = "sync_expert.v1"
OFFSET_STEPS, STEPS, SEED = 120, 400, 1
MAX_LAG = 15
MARGIN = MAX_LAG + 9
"""Frames of sound on either side of the mouth's: a lag's worth, and what the network looks around by."""
LONG_FRAMES = 45
LONG_BATCH, SHORT_BATCH = (24, 44), (36, 20)
"""Rows and frames of a batch of long and of short clips; the short ones are cut, so that ends carry no information."""
SHORT_SHARE = 0.3
LOCAL = 12
"""Frames of the small windows."""
SOFT = 0.7
"""Standard deviation of the true shift in frames: offsets of clips are known to about that."""
JITTER = 2
"""Mel columns by which the sound is moved at random, so that fractions of a frame are learned."""


class SyncRecipe(Recipe):
    """Classification of time shifts within a clip, over whole and small windows, and of the right clip among others.

    The sound reaches beyond the mouth's frames on both sides: with equal ends the network would learn to compare
    where its two inputs end, and nothing else. `late_s`: how late each clip's lips are.
    """

    name = "sync_expert"
    phases = (Phase("fit", ("sync",)),)
    loss_weights = {"window": 1.0, "local": 1.0, "others": 0.2}
    optimizers = {"sync": OptimizerConfig(lr=2e-3, weight_decay=0.05, warmup_steps=50)}

    def __init__(
        self,
        clips: Sequence[SyncClip],
        config: SyncConfig,
        *,
        late_s: Mapping[str, float],
        copies: int = 4,
        dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        self.config, self._dropout, self._clips = config, dropout, list(clips)
        self._late_s = [late_s.get(clip.slug, 0.0) for clip in clips]
        self._long = [k for k, clip in enumerate(clips) if len(clip.view) >= LONG_FRAMES]
        self._short = [k for k, clip in enumerate(clips) if len(clip.view) < LONG_FRAMES]
        seconds = np.array([min(len(clips[k].view), 900) for k in self._long]) ** 0.6
        self._share = seconds / seconds.sum()
        self._mirror = mirrored_order(np.mean([clip.view.shape.mean(axis=0) for clip in clips], axis=0))
        rng = make_rng(seed, 1 << 30)
        speeds = rng.permuted(np.resize(np.arange(len(SPEEDS)), (len(clips), copies)), axis=1)
        self._sounds = [
            [(SPEEDS[k], heard_differently(clip.samples, SPEEDS[k], rng)) for k in row]
            for clip, row in zip(clips, speeds, strict=True)
        ]

    def networks(self) -> dict[str, nn.Module]:
        """The network of both halves."""
        self.sync = SyncNet(self.config, self._dropout)
        return {"sync": self.sync}

    def batch(self, step: int, seed: int) -> dict[str, Tensor]:
        """Cuts of long clips, or (three times in ten) of short ones."""
        rng = make_rng(seed, step)
        short = bool(self._short) and rng.random() < (SHORT_SHARE if self._long else 1)
        count, frames = SHORT_BATCH if short else LONG_BATCH
        rows = []
        for _ in range(count):
            chosen = rng.choice(self._short) if short else rng.choice(self._long, p=self._share)
            rows.append(self._row(int(chosen), frames, rng))
        arrays = {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}
        chance = rng.random(count)
        arrays["use"] = np.stack([chance > 0.15, chance < 0.75], axis=1).astype(np.float32)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def _row(self, number: int, frames: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        view = self._clips[number].view
        speed, columns = self._sounds[number][int(rng.integers(len(self._sounds[number])))]
        spare = int((len(view) - 1) / speed) + 1 - frames
        first = int(rng.integers(0, max(spare, 0) + 1))
        shape, crops, seen = at_speed(view, (first + np.arange(frames)) * speed)
        if rng.random() < 0.5:
            shape = (shape * np.array([-1, 1, 1], np.float32))[:, self._mirror]
        shape = shape * np.float32(rng.uniform(0.8, 1.25)) + 0.003 * rng.standard_normal(shape.shape, np.float32)
        jitter = int(rng.integers(-JITTER, JITTER + 1))
        late = round(self._late_s[number] / speed * VIEW_FPS * COLUMNS_PER_FRAME)
        begin = COLUMNS_PER_FRAME * (first - MARGIN) - late + jitter
        return {
            "shape": shape,
            "crops": seen_differently(crops, rng),
            "columns": _cut_columns(columns, begin, COLUMNS_PER_FRAME * (frames + 2 * MARGIN), rng),
            "seen": seen,
            "truth": np.array(-jitter / COLUMNS_PER_FRAME, np.float32),
        }

    def losses(self, phase: str, batch: dict[str, Tensor], shared: dict[str, Any]) -> dict[str, Tensor]:
        """See `loss_weights`."""
        mouth, weight = self.sync.visual(batch["shape"], batch["crops"], batch["use"])
        beside = MARGIN - MAX_LAG
        sound = self.sync.audio(batch["columns"])[:, beside:-beside]
        scale = self.sync.log_scale.exp()
        weight = (weight * batch["seen"] + 1e-3)[..., None]
        cosines = cosines_at_lags(mouth, sound, MAX_LAG)
        seen = (batch["seen"].mean(dim=1) > 0.6).float()
        lags = torch.arange(-MAX_LAG, MAX_LAG + 1, device=mouth.device)
        target = torch.softmax(-((lags - batch["truth"][:, None]) ** 2) / (2 * SOFT**2), dim=-1)
        whole = (cosines * weight).sum(1) / weight.sum(1)
        window = -(target * torch.log_softmax(scale * whole, -1)).sum(-1)
        # few frames are worth less: their logits are smaller
        part = functional.avg_pool1d((cosines * weight).transpose(1, 2), LOCAL, 1)
        part = part / functional.avg_pool1d(weight.transpose(1, 2), LOCAL, 1)
        local = -(target[..., None] * torch.log_softmax(0.6 * scale * part, 1)).sum(1).mean(-1)
        return {
            "window": (window * seen).sum() / seen.sum().clamp(min=1),
            "local": (local * seen).sum() / seen.sum().clamp(min=1),
            "others": _right_clip(mouth, sound[:, MAX_LAG:-MAX_LAG], weight, 0.6 * scale),
        }


def _right_clip(mouth: Tensor, sound: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
    """Cross entropy of finding each mouth's own sound among the batch's, over small windows."""
    count = mouth.shape[1] // LOCAL
    a, b, w = (x[:, : count * LOCAL].unflatten(1, (count, LOCAL)) for x in (mouth * weight, sound, weight))
    agreement = torch.einsum("bntd,cntd->nbc", a, b) / w.sum(2).transpose(0, 1)
    answer = torch.arange(len(mouth), device=mouth.device).repeat(count)
    return functional.cross_entropy(scale * agreement.flatten(0, 1), answer)


def _cut_columns(columns: np.ndarray, begin: int, length: int, rng: np.random.Generator) -> np.ndarray:
    """`length` columns from `begin`, silence outside, a little louder or quieter, a band now and then blanked."""
    cut = np.full((length, NUM_BANDS), SILENCE, np.float32)
    low, high = max(0, begin), min(len(columns), begin + length)
    if high > low:
        cut[low - begin : high - begin] = columns[low:high] + np.float32(rng.uniform(-0.25, 0.25))
    if rng.random() < 0.3:
        first = int(rng.integers(0, NUM_BANDS - 8))
        cut[:, first : first + int(rng.integers(1, 9))] = -1.0
    return cut


def own_offsets(network: SyncNet, clips: Sequence[SyncClip], listed_s: Mapping[str, float]) -> dict[str, float]:
    """How late each clip's lips are by a trained network, in seconds, by slug.

    Clips of one person come from one source: a clip's own figure counts by its length (four seconds: half), the rest is
    the person's median, or `listed_s` of the person where that is farther than three frames away.
    """
    network.eval()
    found = {clip.slug: _late_s(network, clip) for clip in clips}
    offsets = {}
    for person in sorted({clip.person for clip in clips}):
        own = [clip for clip in clips if clip.person == person]
        middle, listed = float(np.median([found[clip.slug] for clip in own])), listed_s.get(person, 0.0)
        middle = middle if abs(middle - listed) <= 3 / VIEW_FPS else listed
        for clip in own:
            trust = len(clip.view) / (len(clip.view) + 100) if abs(found[clip.slug] - middle) <= 3 / VIEW_FPS else 0.0
            offsets[clip.slug] = round(trust * found[clip.slug] + (1 - trust) * middle, 4)
    return offsets


def _late_s(network: SyncNet, clip: SyncClip) -> float:
    view = clip.view
    columns = sync_mel(clip.samples, len(view) + 2 * MAX_LAG)
    if columns is None:
        return 0.0
    padded = np.full((COLUMNS_PER_FRAME * MAX_LAG, NUM_BANDS), SILENCE, np.float32)
    columns = np.concatenate([padded, columns[: -len(padded)]])
    with torch.inference_mode():
        pictures = torch.from_numpy(without_contrast(view.crops))
        mouth, weight = network.visual(torch.from_numpy(view.shape)[None], pictures[None])
        cosines = cosines_at_lags(mouth, network.audio(torch.from_numpy(columns)[None]), MAX_LAG)[0]
        weight = weight[0] * torch.from_numpy(view.seen)
        agreement = (cosines * weight[:, None]).sum(0)
    return float(MAX_LAG - int(agreement.argmax())) / VIEW_FPS


def make_weights(data: Path, folder: Path) -> Path:
    """Every stage from the data folder to `sync_expert.v1`; stages finished in `folder` are skipped.

    A short first training with the listed offsets finds each clip's own, the second one uses those. Returns the
    folder of the weights; their accuracy is measured by `talkingface bench --what sync`.
    """
    prepared = prepare_data(data, folder)
    make_views(prepared, folder / "views")
    clips = something(list(sync_clips(prepared, folder / "views", "train")), "train clip with speech", data)
    run, config, listed = folder / "sync_expert", SyncConfig(), listed_lags(data)

    def first(done: Mapping[str, Trained]) -> SyncRecipe:
        late_s = {clip.slug: listed.get(clip.person, 0.0) for clip in clips}
        return SyncRecipe(clips, config, late_s=late_s, copies=2, seed=SEED)

    def final(done: Mapping[str, Trained]) -> SyncRecipe:
        network = SyncNet(config)
        network.load_state_dict(done["offsets"].networks["sync"])
        late_s = kept(run / "offsets.json", lambda: own_offsets(network, clips, listed))
        return SyncRecipe(clips, config, late_s=late_s, seed=SEED)

    stages = [
        Stage(name="offsets", steps=OFFSET_STEPS, make=first, options={"ema_decay": 0.98}),
        Stage(name="final", steps=STEPS, make=final, options={"ema_decay": 0.99}),
    ]
    done = run_stages(run, stages, seed=SEED, device="cpu")
    people = {clip.person for clip in clips}
    card = make_card(
        NAME,
        done,
        terms=RESEARCH,
        data=f"{len(clips)} train clips with speech of {len(people)} identities; val clips unseen",
        held_back=held_back_of(prepared_clips(prepared)),
        seed=SEED,
        config=config,
        kind="sync_expert",
    )
    return save_made(folder, arrays(done["final"].networks["sync"]), card)
