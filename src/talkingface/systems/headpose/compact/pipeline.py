"""Training of the compact variant's general network of speech, and of the avatar that is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from talkingface.clips.manifest import list_clips, listed_lags, prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.device import pick_device
from talkingface.core.weights import save_avatar
from talkingface.face.morphable import load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.person.joined import join_clips
from talkingface.person.splats.config import SMALL_FACE
from talkingface.person.stages import GENERAL_SEED, run_general
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.config import FitConfig, HeadposeConfig, preset
from talkingface.systems.headpose.fit.pipeline import fit_avatar
from talkingface.systems.headpose.fit.stages import FitJob, config_of_weights
from talkingface.systems.headpose.motion.recipe import AudioRecipe
from talkingface.training.pipeline import FREE, OWN_ORIGIN, RESEARCH, Stage, held_back_of, make_card, save_made
from talkingface.training.prepare import prepare_data, something
from talkingface.training.speaking_clips import speaking_clips

AUDIO_STEPS = 400
LEAST_VALIDATION = 60  # frames of a clip that correlations are taken from
GRID_PERSON, GRID_SHOWN = "grid_s1", 75  # the shipped avatar: whose sentences, and how many of their frames it keeps
FREE_ENCODER = "speech_encoder.clean"


def make_general(data: Path, folder: Path) -> Path:
    """`headpose.general`, the network of speech, from a data folder; returns the weights folder."""
    config = preset("compact")
    prepared = prepare_data(data, folder)
    stage = Stage(
        name="audio",
        steps=AUDIO_STEPS,
        make=lambda done: audio_recipe(config, prepared, listed_lags(data)),
        settings={"config": to_dict(config.audio)},
    )
    done = run_general(folder, [stage])
    tensors = named("audio", arrays(done["audio"].networks["audio"]))
    card = make_card(
        "headpose.general",
        done,
        terms=RESEARCH,
        data="all train clips with speech",
        held_back=held_back_of(prepared_clips(prepared)),
        seed=GENERAL_SEED,
        config=config_of_weights(config),
        origin=f"{OWN_ORIGIN}; no outside networks but those that {config.audio.encoder} began with",
        system=SPEC.name,
        paper="arXiv 2002.10137",
    )
    return save_made(folder, tensors, card)


def make_grid_avatar(data: Path, folder: Path) -> Path:
    """`headpose.grid-s1`, the avatar that is shipped: speaker 1 of the GRID corpus (CC BY 4.0); returns its folder.

    It is trained from scratch on that speaker's sentences alone and hears by `speech_encoder.clean`, so that nothing of
    another licence is in it: four minutes of one speaker need no general weights.
    """
    clips = [clip for clip in list_clips(data) if clip.identity == GRID_PERSON and clip.split == "train"]
    something(clips, f"train clip of {GRID_PERSON}", data)
    film = folder / "grid-s1" / "film.mp4"
    join_clips(clips, film)
    own = FitConfig(one_shot=False, shown_frames=GRID_SHOWN, audio_steps=AUDIO_STEPS, test_frames=150)
    config = preset("compact")
    config = replace(config, audio=replace(config.audio, encoder=FREE_ENCODER), splats=SMALL_FACE, fit=own)
    work = folder / "grid-s1" / "work"
    avatar = fit_avatar(FitJob(path=film, folder=work, config=config, weights=None, device=pick_device()))
    name = "headpose.grid-s1"
    made = make_card(
        name,
        {},
        terms=FREE,
        data=f"{len(clips)} sentences of speaker 1 of the GRID audiovisual sentence corpus",
        held_back=f"{own.test_frames} frames, on which the figures under held_out were measured; {FREE_ENCODER} knows "
        "them",
        origin=f"{OWN_ORIGIN}; no outside networks but those that {FREE_ENCODER} began with, no general weights",
        steps={"audio": AUDIO_STEPS, "splats": SMALL_FACE.steps},
        notes=[],
    )
    target = folder / "weights" / name
    save_avatar(target, replace(avatar, card={**avatar.card, **made}, files={}))
    return target


def audio_recipe(
    config: HeadposeConfig, prepared: Path, lags: Mapping[str, float] = MappingProxyType({})
) -> AudioRecipe:
    """The general training of speech to motion on prepared clips; `lags`: delays of the lips in seconds by person."""
    model = load_mesh478()
    train = list(speaking_clips(prepared, model, split="train"))
    validation = [clip for clip in speaking_clips(prepared, model, split="val") if len(clip) >= LEAST_VALIDATION]
    validation = [clip for clip in validation if clip.person not in {other.person for other in train}]
    late_s = {clip.slug: lags.get(clip.person, 0.0) for clip in train}
    return AudioRecipe(train, model, config.audio, late_s=late_s, validation=validation, seed=GENERAL_SEED)
