"""Trainings of what turns a voice into motion, from a data folder to weights.

`talkingface train geneface.general DATA -o FOLDER` repeats every stage that made the shipped weights; each stage is
kept in FOLDER and resumed or skipped when it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.config import to_dict
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.morphable import load_mesh478
from talkingface.nn.quantised import quantised
from talkingface.nn.state import arrays, named, tensors_of
from talkingface.systems.geneface.motion.config import SpeechConfig
from talkingface.systems.geneface.motion.pose import PoseRecipe
from talkingface.systems.geneface.motion.published import (
    MotionRecipe,
    PostnetRecipe,
    SpokenMotion,
    SyncRecipe,
    spoken_motion,
    tokens_of,
)
from talkingface.training.head_motion_fit import learn_head_motion
from talkingface.training.mouth_targets import measure_matrix
from talkingface.training.pipeline import FREE, RESEARCH, Stage, Trained, make_card, run_stages, save_made
from talkingface.training.prepare import prepare_data, something
from talkingface.training.recipe import Recipe
from talkingface.training.speech_encoder import encoder_state, offset_stage, own_offsets
from talkingface.training.speech_material import SpeechMaterial
from talkingface.training.speech_recipe import SpeechRecipe

SYSTEM = "geneface"
JUDGED = ("anchor_en", "p31", "president_fr")
"""People on whom the docs' figures are taken: no general stage has heard or seen them."""
STEPS = {"general": 500, "general-research": 700}
"""Of each delay's head."""
ENCODERS = {"general": "speech_encoder.clean", "general-research": "speech_encoder.v1"}
SEED = 1
COPIES = {"general": 6, "general-research": 3}
DROPOUT = 0.4
GAIN = {"best": (1.1, 1.45, 1.25), "low": (1.25, 1.7, 1.3)}
"""By delay; for nobody in particular, whose range is not known. An adapter has the person's own."""
SYNC_STEPS, MOTION_STEPS = 40_000, 40_000
"""Published lengths; on CPUs a fiftieth says whether it works."""


def make_general(data: Path, folder: Path, tag: str = "general") -> Path:
    """Every stage from a data folder to `geneface.<tag>`; returns the weights folder."""
    config, free_only = SpeechConfig(encoder=ENCODERS[tag]), tag == "general"
    start, prepared, run = encoder_state(config.encoder), prepare_data(data, folder), folder / SYSTEM / tag
    model = load_mesh478()
    material = SpeechMaterial(data, prepared, model, free_only, SEED, without=JUDGED)

    def heads(done: Mapping[str, Trained]) -> SpeechRecipe:
        late_s = own_offsets(done, material, start, run / "offsets.json")
        return speech_recipe(material, config, late_s, copies=COPIES[tag])

    options = {"ema_decay": 0.995, "evaluate_every": 200}
    stages = [
        offset_stage(material, start),
        Stage(name="heads", steps=2 * STEPS[tag], make=heads, settings={"config": to_dict(config)}, options=options),
    ]
    done = run_stages(run, stages, seed=SEED, device="cpu")
    tensors = general_tensors(done["heads"].networks, learn_head_motion(material.clips, model.num_mouth))
    card = make_card(
        f"{SYSTEM}.{tag}",
        done,
        terms=FREE if free_only else RESEARCH,
        data=f"{len(material.clips)} {'public-domain and CC BY' if free_only else 'speaking'} train clips of "
        f"{len({clip.person for clip in material.clips})} people; synthetic speech of known phones",
        held_back="every clip of the people on whom figures are taken: anchor_en, person31, president_fr; "
        "the speech encoder has heard them" if not free_only else "every clip of the people on whom figures are taken: "
        "anchor_en, person31, president_fr",
        seed=SEED,
        config={"speech": to_dict(config)},
        system=SYSTEM,
        paper="arXiv 2301.13430",
    )  # fmt: skip
    return save_made(folder, tensors, card)


def general_tensors(heads: Mapping[str, Any], head_motion: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Tensors of general weights: `speech.*` in eight bits and `head_motion.*`."""
    tensors = {f"{delay}.{name}": value for delay in GAIN for name, value in arrays(heads[delay]).items()}
    tensors["measures"] = measure_matrix(load_mesh478())
    tensors |= {f"gain.{delay}": np.array(gain, np.float32) for delay, gain in GAIN.items()}
    halved = {k: v.astype(np.float16) if v.size > 1000 else v for k, v in head_motion.items()}
    return named("speech", quantised(tensors)) | named("head_motion", halved)


def speech_recipe(
    material: SpeechMaterial, config: SpeechConfig, late_s: Mapping[str, float], copies: int = 3
) -> SpeechRecipe:
    """`geneface.speech`: the compact networks of both delays, on the tokens of an encoder that stays as it is."""
    encoder = SpeechEncoder.load(config.encoder).config
    hearings = {"best": config.best, "low": config.low}
    return SpeechRecipe(
        material.clips,
        material.spoken,
        material.model,
        encoder,
        {name: hearing.head for name, hearing in hearings.items()},
        start=encoder_state(config.encoder),
        late_s=late_s,
        train_encoder=False,
        delays={name: hearing.delay for name, hearing in hearings.items()},
        validation=material.validation,
        copies=copies,
        dropout=DROPOUT,
        seed=SEED,
    )


def make_published(data: Path, folder: Path) -> Path:
    """`geneface.published-general`: the published sync expert, then the variational network with pitch, on tokens of
    the toolkit's speech encoder; returns the weights folder."""
    config, prepared = SpeechConfig(), prepare_data(data, folder)
    train, validation = published_clips(data, prepared, config)
    stages = [
        Stage(name="syncnet", steps=SYNC_STEPS, make=lambda done: SyncRecipe(train, validation)),
        Stage(
            name="motion",
            steps=MOTION_STEPS,
            make=lambda done: MotionRecipe(train, done["syncnet"].networks["sync"], validation=validation),
        ),
    ]
    options: dict[str, Any] = {"evaluate_every": 1000, "checkpoint_every_s": 120}
    done = run_stages(folder / SYSTEM / "published", stages, seed=SEED, device="auto", **options)
    tensors = named("syncnet", arrays(done["syncnet"].networks["sync"]))
    tensors |= named("motion", arrays(done["motion"].networks["motion"]))
    card = make_card(
        f"{SYSTEM}.published-general",
        done,
        terms=RESEARCH,
        data=f"{len(train)} speaking train clips",
        held_back="every clip of anchor_en, person31, president_fr",
        seed=SEED,
        config={"speech": to_dict(config)},
        system=SYSTEM,
        paper="arXiv 2301.13430",
    )
    return save_made(folder, tensors, card)


def published_clips(data: Path, prepared: Path, config: SpeechConfig) -> tuple[list[SpokenMotion], list[SpokenMotion]]:
    """Train and val clips for the published networks."""
    material = SpeechMaterial(data, prepared, load_mesh478(), False, SEED, without=JUDGED)
    encoder = SpeechEncoder.load(config.encoder)
    clips = something(material.clips, "train clip with speech", data)
    return spoken_motion(clips, material.model, encoder), spoken_motion(material.validation, material.model, encoder)


def _prepared_clips(config: SpeechConfig, folder: Path) -> tuple[list[SpokenMotion], list[SpokenMotion]]:
    return published_clips(folder, folder, config)


def sync_recipe(config: SpeechConfig, folder: Path) -> Recipe:
    """`geneface.syncnet` on a folder of prepared clips."""
    return SyncRecipe(*_prepared_clips(config, folder))


def motion_recipe(config: SpeechConfig, folder: Path) -> Recipe:
    """`geneface.motion`, published, on a folder of prepared clips; the sync expert joins in if there is one."""
    train, validation = _prepared_clips(config, folder)
    return MotionRecipe(train, _published_state("syncnet"), validation=validation)


def compact_recipe(config: SpeechConfig, folder: Path) -> Recipe:
    """`geneface.speech` on a folder of prepared clips, whose lips are taken to be in time."""
    material = SpeechMaterial(folder, folder, load_mesh478(), False, SEED, without=JUDGED)
    something(material.clips, "train clip with speech", folder)
    return speech_recipe(material, config, {})


def postnet_recipe(config: SpeechConfig, folder: Path) -> Recipe:
    """`geneface.postnet`, published: the longest clip of a folder of prepared clips is the person's, the others are the
    many; its last eleventh trains nothing. Raises UsageError without the general networks."""
    general, sync = _published_state("motion"), _published_state("syncnet")
    if general is None or sync is None:
        raise UsageError(
            f"geneface.postnet adapts the published general networks; train {SYSTEM}.published-general and install it"
        )
    train, _ = _prepared_clips(config, folder)
    person = max(train, key=len)
    shown = len(person) * 10 // 11
    return PostnetRecipe(
        [clip for clip in train if clip.speaker != person.speaker] or train,
        person.cut(0, shown),
        general,
        sync,
        test=person.cut(shown, len(person)),
    )


def pose_recipe(config: SpeechConfig, folder: Path) -> Recipe:
    """`geneface.pose`, published: the head of the longest clip of a folder of prepared clips."""
    clips = SpeechMaterial(folder, folder, load_mesh478(), False, SEED).clips
    clip = max(something(clips, "train clip with speech", folder), key=len)
    tokens = tokens_of(SpeechEncoder.load(config.encoder), clip.samples, len(clip))
    return PoseRecipe(tokens, clip.pose, clip.weight > 0)


def _published_state(name: str) -> Mapping[str, Any] | None:
    try:
        return tensors_of(load_weights(find_weights(f"{SYSTEM}.published-general")).tensors, name) or None
    except WeightsError:
        return None


PIPELINES: dict[str, Callable[[Path, Path], Path]] = {
    "general": make_general,
    "general-research": lambda data, folder: make_general(data, folder, "general-research"),
    "published-general": make_published,
}
"""Pipeline name -> function of the data folder and the working folder that returns the weights folder."""
RECIPES: dict[str, Callable[[SpeechConfig, Path], Recipe]] = {
    "speech": compact_recipe,
    "syncnet": sync_recipe,
    "motion": motion_recipe,
    "postnet": postnet_recipe,
    "pose": pose_recipe,
}
"""Recipe name -> recipe for a config and a folder of prepared clips."""
