"""The trainings of `portrait`: single recipes on prepared material, and whole pipelines from a data folder to weights.

`talkingface train portrait.clean DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is kept
in FOLDER and resumed or skipped when it is there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.clips.manifest import manifest_rows, prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.errors import FaceError
from talkingface.core.weights import save_weights
from talkingface.photo.refine import STORED_PREFIX
from talkingface.systems.portrait import SPEC
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.data import crop_prepared
from talkingface.training.speaking_clips import FREE_LICENCES

REFINER_STEPS = {"clean": 4000, "research": 3500}
AUDIO_STEPS = {"clean": 800, "research": 1200}
MOUTH_GAIN = {"clean": 1.05, "research": 1.05}
"""Makes up for the movement that regression to the mean takes away on unseen people."""
SEED = 1
DATA = {
    "clean": "102 public-domain and CC BY train clips, 33 LibriSpeech and LJ Speech files, synthetic speech (flite)",
    "research": "all train clips (961), all English speech files, synthetic speech (flite); refiner begun as in clean",
}
LICENCES = {
    "clean": (
        "CC-BY-4.0",
        "any use, with attribution to the GRID corpus (2006), LibriSpeech (2015) and VoxCeleb2 (2018)",
    ),
    "research": (
        "research only",
        "research and evaluation; parts of the training clips have terms that exclude other use",
    ),
}


def _refiner(config: PortraitConfig, data: Path) -> Any:
    from talkingface.systems.portrait.refiner_recipe import RefinerRecipe

    return RefinerRecipe(*_refiner_files(data, free_only=False), config.refiner)


RECIPES: dict[str, Callable[[PortraitConfig, Path], Any]] = {"refiner": _refiner}
"""Recipe name -> recipe for a config and a folder of face clips with its index.json."""


def _refiner_files(crops: Path, *, free_only: bool) -> tuple[list[Path], list[Path]]:
    train = [c.file for c in prepared_clips(crops, "train") if not free_only or c.licence_class in FREE_LICENCES]
    return train, [clip.file for clip in prepared_clips(crops, "val") if clip.slug != "driver_two_faces"]


def make_face_model(data: Path, folder: Path) -> Path:
    """Learn `mesh478.v1` from the free part of a data folder; returns the weights folder."""
    from talkingface.face.morphable import model_to_tensors
    from talkingface.training.face_model import learn_mesh478

    prepared = _prepare(data, folder)
    tracks = [
        (clip.identity, clip.load_track())
        for clip in prepared_clips(prepared, "train")
        if clip.licence_class in FREE_LICENCES and clip.use != "motion" and clip.held_back is None
    ]
    portraits = list(_free_portraits(data))
    tensors = model_to_tensors(learn_mesh478(tracks, portraits))
    for name in ("identity", "expression"):
        tensors[name] = tensors[name].astype(np.float16)
    card = {
        "name": "mesh478.v1",
        "licence": LICENCES["clean"][0],
        "allows": LICENCES["clean"][1],
        "data": f"{len(tracks)} public-domain and CC BY clips, {len(portraits)} public-domain portraits",
        "command": "talkingface train portrait.mesh478 DATA -o FOLDER",
    }
    return save_weights(folder / "weights" / "mesh478.v1", tensors, card).folder


def make_weights(data: Path, folder: Path, tag: str) -> Path:
    """Every stage from the data folder to `portrait.<tag>` ("clean" or "research"); returns the weights folder."""
    from talkingface.face.morphable import load_mesh478
    from talkingface.systems.portrait.motion.train import train_audio2motion
    from talkingface.training.head_motion_fit import train_head_motion

    free_only = tag == "clean"
    config = PortraitConfig()
    prepared = _prepare(data, folder)
    crops = folder / "crops"
    crop_prepared(prepared, crops)
    (crops / "index.json").write_bytes((prepared / "index.json").read_bytes())
    started = time.time()
    model = load_mesh478()
    run = folder / tag / "audio2motion"
    run.mkdir(parents=True, exist_ok=True)
    numbers = {"steps": AUDIO_STEPS[tag], "gain": MOUTH_GAIN[tag], "seed": SEED}
    tensors = train_audio2motion(data, prepared, run, model, free_only=free_only, **numbers)
    tensors = halved(tensors) | train_head_motion(prepared, model, free_only=free_only)
    refiner, metrics = _train_refiner(crops, folder, config, tag)
    card = make_card(tag, config, metrics) | {"trained_s": round(time.time() - started)}
    return save_weights(folder / "weights" / f"{SPEC.name}.{tag}", tensors | refiner, card).folder


def halved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The large arrays in half precision."""
    return {name: value.astype(np.float16) if value.size > 1000 else value for name, value in tensors.items()}


def make_card(tag: str, config: PortraitConfig, metrics: dict[str, float]) -> dict[str, Any]:
    """The card of `portrait.<tag>`."""
    return {
        "name": f"{SPEC.name}.{tag}",
        "system": SPEC.name,
        "version": 1,
        "licence": LICENCES[tag][0],
        "allows": LICENCES[tag][1],
        "data": DATA[tag],
        "held_back": "frames 300 to 606 of person31 and the last 20 s of anchor_en",
        "origin": "trained by the talkingface project",
        "command": f"talkingface train portrait.{tag} DATA -o FOLDER",
        "steps": {"audio2motion": AUDIO_STEPS[tag], "refiner": REFINER_STEPS[tag]},
        "seed": SEED,
        "metrics": metrics,
        "config": to_dict(config),
    }


def _train_refiner(
    crops: Path, folder: Path, config: PortraitConfig, tag: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """The refiner's tensors; `research` goes on from the finished `clean` refiner, so that one is made first."""
    from talkingface.systems.portrait.refiner_recipe import RefinerRecipe
    from talkingface.training.checkpoint import load_networks
    from talkingface.training.trainer import Trainer

    start = None
    if tag == "research":
        clean = folder / "clean" / "refiner"
        if not (clean / "done.json").is_file():
            _train_refiner(crops, folder, config, "clean")
        start = load_networks(clean, averaged=True)
    run = folder / tag / "refiner"
    recipe = RefinerRecipe(*_refiner_files(crops, free_only=tag == "clean"), config.refiner, start=start)
    options: dict[str, Any] = {"seed": SEED, "device": "cpu", "ema_decay": 0.998, "channels_last": True}
    trainer = Trainer(recipe, run, steps=REFINER_STEPS[tag], preview_every=250, evaluate_every=500, **options)
    outcome = trainer.run()
    metrics = {name: round(value, 3) for name, value in outcome.metrics.items()}
    (run / "done.json").write_text(json.dumps(metrics))
    return refiner_tensors(trainer.averaged()), metrics


def refiner_tensors(networks: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    """Averaged networks as arrays to save, half precision: the change it makes to a picture is under 1/255."""
    return {
        f"{STORED_PREFIX}{name}.{key}": value.detach().cpu().numpy().astype(np.float16)
        for name in ("face", "mouth")
        for key, value in networks[name].items()
    }


def _prepare(data: Path, folder: Path) -> Path:
    from talkingface.training.prepare import prepare

    prepared = folder / "prepared"
    for problem in prepare(data, prepared):
        print(f"left out: {problem}")
    return prepared


def _free_portraits(data: Path) -> Any:
    from talkingface.face.track import track_image
    from talkingface.video.image import read_image

    for row in manifest_rows(data, kind="portrait", split="train"):
        if row["licence_class"] == "public-domain":
            try:
                yield track_image(read_image(data / row["file"]).rgb).landmarks
            except FaceError as problem:
                print(f"left out: {row['slug']}: {problem}")


PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "mesh478": make_face_model,
    "clean": lambda data, folder: make_weights(data, folder, "clean"),
    "research": lambda data, folder: make_weights(data, folder, "research"),
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
