"""The trainings of `headpose`: general weights from many people, from which `fit` goes on to one.

`talkingface train headpose.general DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is
kept in FOLDER and resumed or skipped when it is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry, PreparedClip, list_clips, listed_lags, prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.device import pick_device
from talkingface.core.progress import tell
from talkingface.core.types import Audio
from talkingface.core.weights import save_avatar, save_weights
from talkingface.face.morphable import LinearFaceModel, fit_track, load_mesh478
from talkingface.nn.state import arrays
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.compact.data import HeadClip, cut_clip, load_clip, save_clip
from talkingface.systems.headpose.compact.recipe import RendererRecipe
from talkingface.systems.headpose.config import FitConfig, HeadposeConfig, preset
from talkingface.systems.headpose.fit.stages import GENERAL_SEED, run_stage
from talkingface.systems.headpose.motion.recipes import AudioRecipe
from talkingface.systems.headpose.official.pipeline import (
    LEAST_UNIT_PX,
    atc_recipe,
    gan_recipe,
    make_published,
    many_people,
)
from talkingface.training.prepare import RATE_HZ, prepare
from talkingface.training.speaking_clips import FPS, speaking_clips
from talkingface.video.read import read_frames
from talkingface.video.write import VideoWriter

AUDIO_STEPS, RENDERER_STEPS = 700, 1600
MOST_CLIPS, MOST_FRAMES = 220, 18
"""Clips that the renderer learns from, and frames of each."""
LEAST_VALIDATION = 60
GRID_PERSON, GRID_SHOWN, GRID_STEPS = "grid_s1", 75, 2500
"""The shipped avatar: whose sentences, how many of their frames it keeps, and how long its renderer learns."""

RECIPES: dict[str, Callable[[HeadposeConfig, Path], Any]] = {
    "audio": lambda config, data: _audio_recipe(config, data, {}),
    "renderer": lambda config, data: _renderer_recipe(config, [load_clip(path) for path in sorted(data.glob("*.npz"))]),
    "atcnet": atc_recipe,
    "gan": gan_recipe,
}
"""Recipe name -> recipe for a config and a folder: prepared clips for audio, cut clips for renderer (compact); prepared
clips for atcnet and gan, the general stages of the published networks (official, journal)."""


def make_general(data: Path, folder: Path) -> Path:
    """Every stage from a data folder to `headpose.general`; returns the weights folder."""
    config, started = preset("compact"), time.time()
    prepared = folder / "prepared"
    for problem in prepare(data, prepared):
        print(f"left out: {problem}")
    audio, heard = run_stage(_audio_recipe(config, prepared, listed_lags(data)), folder / "audio", AUDIO_STEPS)
    clips = cut_people(prepared, folder / "clips", load_mesh478(), config.renderer.view_px)
    painter, _ = run_stage(_renderer_recipe(config, clips), folder / "renderer", RENDERER_STEPS, channels_last=True)
    tensors = {f"audio.{name}": value for name, value in arrays(audio["audio"]).items()}
    tensors |= {f"renderer.{name}": value for name, value in arrays(painter["renderer"]).items()}
    card = {
        "name": "headpose.general",
        "system": SPEC.name,
        "version": 1,
        "licence": "research only",
        "allows": "research and evaluation; parts of the training clips have terms that exclude other use",
        "data": f"audio: all train clips with speech; renderer: {len(clips)} train clips, {MOST_FRAMES} frames of each",
        "held_back": "frames 300 to 606 of person31 and the last 20 s of anchor_en",
        "origin": "trained by the talkingface project; no outside networks",
        "paper": "arXiv 2002.10137",
        "command": "talkingface train headpose.general DATA -o FOLDER",
        "steps": {"audio": AUDIO_STEPS, "renderer": RENDERER_STEPS},
        "seed": GENERAL_SEED,
        "metrics": {name: round(value, 3) for name, value in heard.items()},
        "config": {key: value for key, value in to_dict(config).items() if key != "fit"},
        "trained_s": round(time.time() - started),
    }
    return save_weights(folder / "weights" / "headpose.general", tensors, card).folder


def make_grid_avatar(data: Path, folder: Path) -> Path:
    """`headpose.grid-s1`: the avatar that is shipped, of speaker 1 of the GRID corpus (CC BY 4.0), from that speaker's
    sentences alone; returns its folder."""
    from talkingface.systems.headpose.fit.pipeline import fit_avatar
    from talkingface.systems.headpose.fit.stages import FitJob

    clips = [clip for clip in list_clips(data) if clip.identity == GRID_PERSON and clip.split == "train"]
    film = folder / "grid-s1" / "film.mp4"
    film.parent.mkdir(parents=True, exist_ok=True)
    if not film.is_file():
        _join_clips(clips, film)
    own = FitConfig(
        one_shot=False, shown_frames=GRID_SHOWN, audio_steps=AUDIO_STEPS, renderer_steps=GRID_STEPS, test_frames=150
    )
    config = replace(preset("compact"), fit=own)
    work = folder / "grid-s1" / "work"
    avatar = fit_avatar(FitJob(path=film, folder=work, config=config, weights=None, device=pick_device()))
    card = {
        **avatar.card,
        "name": "headpose.grid-s1",
        "version": 1,
        "licence": "CC-BY-4.0",
        "allows": "any use, with attribution to the GRID corpus (Cooke, Barker, Cunningham, Shao 2006)",
        "data": f"{len(clips)} sentences of speaker 1 of the GRID audiovisual sentence corpus",
        "origin": "trained by the talkingface project; no outside networks, no general weights",
        "command": "talkingface train headpose.grid-s1 DATA -o FOLDER",
        "steps": {"audio": AUDIO_STEPS, "renderer": GRID_STEPS},
        "notes": [],
    }
    target = folder / "weights" / "headpose.grid-s1"
    save_avatar(target, replace(avatar, card=card, files={"clip": avatar.files["clip"]}))
    return target


def _join_clips(clips: list[ClipEntry], film: Path) -> None:
    """One film of all sentences, each for as long as its pictures last."""
    pictures, sounds = [], []
    for clip in clips:
        frames = [frame.rgb for frame in read_frames(clip.path, fps=FPS)]
        sound = read_audio(clip.sound, RATE_HZ).samples.mean(axis=0)
        length = len(frames) * RATE_HZ // FPS
        pictures.append(frames)
        sounds.append(np.pad(sound[:length], (0, max(0, length - len(sound)))))
    size = pictures[0][0].shape[1], pictures[0][0].shape[0]
    sound = Audio(samples=np.concatenate(sounds)[None].astype(np.float32), rate_hz=RATE_HZ)
    with VideoWriter(film, size, FPS, sound=sound, quality=12) as writer:
        for rgb in (rgb for frames in pictures for rgb in frames):
            writer.write(rgb)


def _audio_recipe(config: HeadposeConfig, prepared: Path, lags: dict[str, float]) -> AudioRecipe:
    model = load_mesh478()
    train = list(speaking_clips(prepared, model, split="train"))
    validation = [clip for clip in speaking_clips(prepared, model, split="val") if len(clip) >= LEAST_VALIDATION]
    validation = [clip for clip in validation if clip.person not in {other.person for other in train}]
    late_s = {clip.slug: lags.get(clip.person, 0.0) for clip in train}
    return AudioRecipe(train, model, config.audio, late_s=late_s, validation=validation, seed=GENERAL_SEED)


def _renderer_recipe(config: HeadposeConfig, clips: list[HeadClip]) -> RendererRecipe:
    return RendererRecipe(
        clips,
        load_mesh478(),
        config.renderer.widths,
        view_px=config.renderer.view_px,
        batch_size=config.fit.batch_size,
    )


def cut_people(prepared: Path, folder: Path, model: LinearFaceModel, view_px: int) -> list[HeadClip]:
    """Frames around the head of many train clips, as many people as possible; clips that are cut already are read."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = many_people([clip for clip in prepared_clips(prepared, "train") if clip.speaks])[:MOST_CLIPS]
    clips = []
    for number, clip in enumerate(chosen):
        tell("cutting heads", number, len(chosen))
        file = folder / f"{clip.slug}.npz"
        if not file.is_file() and not _cut_one(clip, file, model, view_px):
            continue
        clips.append(load_clip(file))
    return clips


def _cut_one(clip: PreparedClip, target: Path, model: LinearFaceModel, view_px: int) -> bool:
    """Cut one clip; False if it shows too small a face or too little of it."""
    track = clip.load_track()
    free = (track.confidence > 0) & clip.free(len(track))
    fit = fit_track(model, track)
    if free.sum() < MOST_FRAMES // 2 or float(np.median(fit.scale[free])) < LEAST_UNIT_PX:
        return False
    numbers = np.flatnonzero(free)
    keep = numbers[np.unique(np.linspace(0, len(numbers) - 1, MOST_FRAMES).astype(int))]
    save_clip(target, cut_clip((frame.rgb for frame in read_frames(clip.path)), track.landmarks, fit, keep, view_px))
    return True


PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "general": make_general,
    "grid-s1": make_grid_avatar,
    "official-general": lambda data, folder: make_published("official", data, folder),
    "journal-general": lambda data, folder: make_published("journal", data, folder),
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
