"""The trainings of `portrait`: single recipes on prepared material, and whole pipelines from a data folder to weights.

`talkingface train portrait.clean DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is kept
in FOLDER and resumed or skipped when it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.clips.manifest import PreparedClip, manifest_rows, prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.errors import UsageError
from talkingface.core.weights import find_weights, load_weights
from talkingface.photo.config import RefinerConfig
from talkingface.photo.mouth import OpenMouth, to_tensors
from talkingface.photo.refine import EXAMPLE_PREFIX, STORED_PREFIX, Refiner, init_weights
from talkingface.systems.portrait import SPEC
from talkingface.systems.portrait.config import PortraitConfig
from talkingface.systems.portrait.data import crop_prepared, free_portraits
from talkingface.training.pipeline import (
    FREE,
    RESEARCH,
    Stage,
    Trained,
    held_back_of,
    make_card,
    run_stages,
    save_made,
)
from talkingface.training.prepare import prepare_data, something
from talkingface.training.speaking_clips import FREE_LICENCES

FACE_STEPS = {"clean": 4000, "research": 3500}
MOUTH_STEPS = {"clean": 1500, "research": 2500}
LEAST_FACE_PX = {"clean": 120.0, "research": 200.0}
"""Sides of faces from which teeth can be told apart; few free clips show one so large."""
_REFINER_OPTIONS = {"ema_decay": 0.998, "channels_last": True, "preview_every": 250, "evaluate_every": 500}
ENCODERS = {"clean": "clean", "research": "v1"}
"""The speech encoder that each hears by: its heads were trained along with it."""
MOUTH_GAIN = {"best": (1.1, 1.45, 1.25), "low": (1.25, 1.7, 1.3)}
"""By delay; compensates for the movement of gap, width and jaw that regression to the mean loses on unseen people."""
SEED = 1
FREE_CLIP = "public-domain or CC BY train clip"
TERMS = {"clean": FREE, "research": RESEARCH}


def _face(config: PortraitConfig, data: Path) -> Any:
    from talkingface.systems.portrait.refiner_recipe import FaceRecipe

    people = [clip.identity for clip in _refiner_clips(data, free_only=False)]
    return FaceRecipe(*_refiner_files(data, free_only=False), _refiner_config(config), people=people)


def _mouth(config: PortraitConfig, data: Path) -> Any:
    from talkingface.systems.portrait.mouth_recipe import MouthRecipe

    refiner = Refiner(load_weights(find_weights(SPEC.default_weights)).tensors, _refiner_config(config))
    return MouthRecipe(*_refiner_files(data, free_only=False), refiner, [refiner.example])


def _refiner_config(config: PortraitConfig) -> RefinerConfig:
    if config.refiner is None:
        raise UsageError("this config has no refiner to train; give --config official")
    return config.refiner


RECIPES: dict[str, Callable[[PortraitConfig, Path], Any]] = {"face": _face, "mouth": _mouth}
"""Recipe name -> recipe for a config and a folder of face clips with its index.json."""


def _refiner_clips(crops: Path, *, free_only: bool) -> list[PreparedClip]:
    return [c for c in prepared_clips(crops, "train") if not free_only or c.licence_class in FREE_LICENCES]


def _refiner_files(crops: Path, *, free_only: bool) -> tuple[list[Path], list[Path]]:
    train = [clip.file for clip in _refiner_clips(crops, free_only=free_only)]
    return train, [clip.file for clip in prepared_clips(crops, "val") if clip.slug != "driver_two_faces"]


def make_face_model(data: Path, folder: Path) -> Path:
    """Learn `mesh478.v1` from the free part of a data folder; returns the weights folder."""
    from talkingface.face.morphable import model_to_tensors
    from talkingface.training.face_model import learn_mesh478

    clips = prepared_clips(prepare_data(data, folder), "train")
    clips = [clip for clip in clips if clip.licence_class in FREE_LICENCES and clip.use != "motion"]
    clips = something([clip for clip in clips if clip.held_back is None], FREE_CLIP, data)
    tracks = [(clip.identity, clip.load_track()) for clip in clips]
    portraits = [points for _, points in free_portraits(data)]
    tensors = model_to_tensors(learn_mesh478(tracks, portraits))
    for name in ("identity", "expression"):
        tensors[name] = tensors[name].astype(np.float16)
    card = make_card(
        "mesh478.v1",
        {},
        terms=FREE,
        data=f"{len(tracks)} public-domain and CC BY clips, {len(portraits)} public-domain portraits",
        held_back="whole clips of which frames are held back",
        command="talkingface train portrait.mesh478 DATA -o FOLDER",
        steps="closed form: three rounds of alignment and principal components",
    )
    return save_made(folder, tensors, card)


def make_weights(data: Path, folder: Path, tag: str) -> Path:
    """Every stage from the data folder to `portrait.<tag>` ("clean" or "research"); returns the weights folder."""
    from talkingface.face.morphable import load_mesh478
    from talkingface.systems.portrait.motion.train import speech_tensors
    from talkingface.training.head_motion_fit import train_head_motion
    from talkingface.training.speech_encoder import train_encoder

    free_only = tag == "clean"
    config = PortraitConfig(encoder=f"speech_encoder.{ENCODERS[tag]}")
    prepared = prepare_data(data, folder)
    if free_only:
        something([c for c in prepared_clips(prepared, "train") if c.licence_class in FREE_LICENCES], FREE_CLIP, data)
    crops = folder / "crops"
    crop_prepared(prepared, crops)
    model = load_mesh478()
    head_motion = train_head_motion(prepared, model, free_only=free_only)  # seconds; a folder unfit for it fails now
    speech = train_encoder(data, folder, ENCODERS[tag])
    refiner, example = _train_refiner(data, crops, folder, tag)
    mouth = speech_tensors(speech["heads"], model, MOUTH_GAIN)
    tensors = mouth | halved(head_motion) | to_tensors(example, EXAMPLE_PREFIX)
    tensors |= refiner_tensors({name: done.networks[name] for name, done in refiner.items()})
    card = make_card(
        f"{SPEC.name}.{tag}",
        {**speech, **refiner},
        terms=TERMS[tag],
        data=_description(data, prepared, free_only),
        held_back=held_back_of(prepared_clips(prepared)),
        seed=SEED,
        config=config,
        system=SPEC.name,
    )
    return save_made(folder, tensors, card)


def halved(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The large arrays in half precision."""
    return {name: value.astype(np.float16) if value.size > 1000 else value for name, value in tensors.items()}


def _description(data: Path, prepared: Path, free_only: bool) -> str:
    """The training data, for the card."""
    clips = [clip.licence_class for clip in prepared_clips(prepared, "train")]
    speech = [row["licence_class"] for row in manifest_rows(data, kind="speech", split="train", language="en")]
    if free_only:
        clips, speech = ([licence for licence in found if licence in FREE_LICENCES] for found in (clips, speech))
    kind = "public-domain and CC BY train clips" if free_only else "train clips; FaceNet begun as in clean"
    sources = f"{len(clips)} {kind}", f"{len(speech)} files of English speech", "synthetic speech of known phones"
    return "; ".join((*sources, "the example mouth: a public-domain portrait and frame"))


def _train_refiner(data: Path, crops: Path, folder: Path, tag: str) -> tuple[dict[str, Trained], OpenMouth]:
    """`FaceNet`, and on top of it `MouthNet`; and the example mouth. `FaceNet` of `research` continues from that of
    `clean`, which is made first."""
    from talkingface.systems.portrait.mouth_recipe import MouthRecipe, example_mouths

    config, examples = RefinerConfig(), example_mouths(data, crops, RefinerConfig())

    def make(done: Mapping[str, Trained]) -> MouthRecipe:
        refiner = Refiner(init_weights(config) | refiner_tensors(done["face"].networks), config)
        files = _refiner_files(crops, free_only=tag == "clean")
        return MouthRecipe(*files, refiner, examples, least_face_px=LEAST_FACE_PX[tag])

    mouth = Stage(name="mouth", steps=MOUTH_STEPS[tag], make=make, settings=_settings(config), options=_REFINER_OPTIONS)
    clean = run_stages(folder / "clean", [_face_stage(crops, "clean", {})], seed=SEED, device="cpu")
    start = {} if tag == "clean" else clean["face"].networks
    stages = [_face_stage(crops, tag, start), mouth]
    return run_stages(folder / tag, stages, seed=SEED, device="cpu"), examples[0]


def _face_stage(crops: Path, tag: str, start: Mapping[str, Mapping[str, Any]]) -> Stage:
    from talkingface.systems.portrait.refiner_recipe import FaceRecipe

    config = RefinerConfig()
    return Stage(
        name="face",
        steps=FACE_STEPS[tag],
        make=lambda done: FaceRecipe(
            *_refiner_files(crops, free_only=tag == "clean"),
            config,
            people=[clip.identity for clip in _refiner_clips(crops, free_only=tag == "clean")],
            start=start,
        ),
        settings=_settings(config),
        options=_REFINER_OPTIONS,
    )


def _settings(config: RefinerConfig) -> dict[str, Any]:
    return {"config": to_dict(config)}


def refiner_tensors(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Averaged networks as arrays to save, half precision: the change it makes to a picture is under 1/255."""
    return {
        f"{STORED_PREFIX}{name}.{key}": value.detach().cpu().numpy().astype(np.float16)
        for name in ("face", "mouth")
        for key, value in networks.get(name, {}).items()
    }


PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "mesh478": make_face_model,
    "clean": lambda data, folder: make_weights(data, folder, "clean"),
    "research": lambda data, folder: make_weights(data, folder, "research"),
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
