"""Training of the compact variant's general weights, and of the avatar that is shipped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from talkingface.clips.manifest import PreparedClip, list_clips, listed_lags, prepared_clips
from talkingface.core.config import to_dict
from talkingface.core.device import pick_device
from talkingface.core.progress import report_progress
from talkingface.core.weights import save_avatar
from talkingface.face.morphable import LinearFaceModel, fit_track, load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.person.joined import join_clips
from talkingface.person.stages import GENERAL_SEED, load_record, run_general, save_record
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.compact.data import HeadCrops, crop_heads
from talkingface.systems.headpose.compact.recipe import RendererRecipe
from talkingface.systems.headpose.config import FitConfig, HeadposeConfig, preset
from talkingface.systems.headpose.fit.pipeline import fit_avatar
from talkingface.systems.headpose.fit.stages import FitJob, config_of_weights
from talkingface.systems.headpose.motion.recipe import AudioRecipe
from talkingface.systems.headpose.prepared import LEAST_UNIT_PX, choose_clips, load_faces
from talkingface.training.pipeline import FREE, OWN_ORIGIN, RESEARCH, Stage, held_back_of, make_card, save_made
from talkingface.training.prepare import prepare_data, something
from talkingface.training.speaking_clips import speaking_clips
from talkingface.video.read import read_frames

AUDIO_STEPS, RENDERER_STEPS = 400, 1600
MOST_CLIPS, MOST_FRAMES = 220, 18  # clips that the renderer is trained on, and frames of each
LEAST_VALIDATION = 60  # frames of a clip that correlations are taken from
# The shipped avatar: whose sentences, the number of their frames that it keeps, and of its renderer's steps.
GRID_PERSON, GRID_SHOWN, GRID_STEPS = "grid_s1", 75, 2500
FREE_ENCODER = "speech_encoder.clean"


def make_general(data: Path, folder: Path) -> Path:
    """Every stage from a data folder to `headpose.general`; returns the weights folder."""
    config = preset("compact")
    prepared, heads = prepare_data(data, folder), folder / "clips"
    stages = [
        Stage(
            name="audio",
            steps=AUDIO_STEPS,
            make=lambda done: audio_recipe(config, prepared, listed_lags(data)),
            settings={"config": to_dict(config.audio)},
        ),
        Stage(
            name="renderer",
            steps=RENDERER_STEPS,
            make=lambda done: renderer_recipe(
                config, crop_people(prepared, heads, load_mesh478(), config.renderer.view_px)
            ),
            settings={"config": to_dict(config.renderer)},
            options={"channels_last": True},
        ),
    ]
    done = run_general(folder, stages)
    tensors = named("audio", arrays(done["audio"].networks["audio"]))
    tensors |= named("renderer", arrays(done["renderer"].networks["renderer"]))
    count = len(list(heads.glob("*.npz")))
    card = make_card(
        "headpose.general",
        done,
        terms=RESEARCH,
        data=f"audio: all train clips with speech; renderer: {count} train clips, {MOST_FRAMES} frames of each",
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
    own = FitConfig(
        one_shot=False, shown_frames=GRID_SHOWN, audio_steps=AUDIO_STEPS, renderer_steps=GRID_STEPS, test_frames=150
    )
    config = preset("compact")
    config = replace(config, audio=replace(config.audio, encoder=FREE_ENCODER), fit=own)
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
        steps={"audio": AUDIO_STEPS, "renderer": GRID_STEPS},
        notes=[],
    )
    target = folder / "weights" / name
    save_avatar(target, replace(avatar, card={**avatar.card, **made}, files={"clip": avatar.files["clip"]}))
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


def prepared_renderer_recipe(config: HeadposeConfig, folder: Path) -> RendererRecipe:
    """The general training of the renderer on a folder of cropped heads (`crop_people`)."""
    return renderer_recipe(config, [load_record(HeadCrops, path) for path in sorted(folder.glob("*.npz"))])


def renderer_recipe(config: HeadposeConfig, clips: list[HeadCrops]) -> RendererRecipe:
    """The general training of the renderer."""
    return RendererRecipe(
        clips,
        load_mesh478(),
        config.renderer.widths,
        view_px=config.renderer.view_px,
        batch_size=config.fit.batch_size,
    )


def crop_people(prepared: Path, folder: Path, model: LinearFaceModel, view_px: int) -> list[HeadCrops]:
    """Cropped heads of train clips, of as many people as possible; kept in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    clips = choose_clips(prepared, "train", MOST_CLIPS)
    crops = []
    for number, clip in enumerate(clips):
        report_progress("cropping heads", number, len(clips))
        file = folder / f"{clip.slug}.npz"
        if file.is_file() or _crop_clip(clip, file, model, view_px):
            crops.append(load_record(HeadCrops, file))
    return crops


def _crop_clip(clip: PreparedClip, target: Path, model: LinearFaceModel, view_px: int) -> bool:
    """Crop one clip; False if its face is too small or seen in too few frames."""
    track, free = load_faces(clip)
    fit = fit_track(model, track)
    if free.sum() < MOST_FRAMES // 2 or float(np.median(fit.scale[free])) < LEAST_UNIT_PX:
        return False
    numbers = np.flatnonzero(free)
    keep = numbers[np.unique(np.linspace(0, len(numbers) - 1, MOST_FRAMES).astype(int))]
    save_record(
        target, crop_heads((frame.rgb for frame in read_frames(clip.path)), track.landmarks, fit, keep, view_px)
    )
    return True
