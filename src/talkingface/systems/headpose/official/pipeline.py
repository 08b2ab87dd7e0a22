"""The general stages of the published networks: training on many people, from which `fit` goes on to one.

`talkingface train headpose.official-general DATA -o FOLDER` runs both and makes weights for `fit --config official
--weights`; `journal-general` does so for the version of 2022. Each stage can run alone on prepared clips:

    talkingface train headpose.atcnet FOLDER/prepared -o FOLDER/official/atcnet --config official --steps 10000
    talkingface train headpose.gan FOLDER/prepared -o FOLDER/official/gan --config official --steps 20000

The original trained on LRW, whose clips have 29 frames. As many are taken here of every clip: fitted in three
dimensions, rendered over its own frames, and kept beside the prepared clips. Published are networks, losses, rates and
the weight of the mask; left open are the numbers of steps.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.core.cache import output_error
from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, TalkingFaceError, UsageError
from talkingface.core.progress import report_progress
from talkingface.face.fit3d import fit_video
from talkingface.face.morphable import load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.person.stages import GENERAL_SEED, load_record, run_general, save_record
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.config import HeadposeConfig, preset
from talkingface.systems.headpose.fit.stages import config_of_weights
from talkingface.systems.headpose.official.atc_recipe import AtcRecipe
from talkingface.systems.headpose.official.data import Pairs, join_pairs, render_pairs
from talkingface.systems.headpose.official.face.identity import picture_features, thumb_side
from talkingface.systems.headpose.official.face.render import FaceRenderer, choose_view
from talkingface.systems.headpose.official.face.render_model import FaceRenderModel, face_render_model
from talkingface.systems.headpose.official.recipe import GeneratorRecipe
from talkingface.systems.headpose.prepared import LEAST_UNIT_PX, choose_clips, load_faces
from talkingface.training.pipeline import OWN_ORIGIN, RESEARCH, Stage, held_back_of, make_card, save_made
from talkingface.training.prepare import prepare_data
from talkingface.training.speaking_clips import speaking_clips
from talkingface.video.read import read_frames

ATC_STEPS, GAN_STEPS = 10000, 20000
STRETCH, LEAST_STRETCH = 29, 9  # frames taken of a clip (those of an LRW clip), and the least that is of use
MOST_CLIPS, MOST_HELD_OUT = 220, 12  # clips that are trained on (12 MB of memory each), and held-out ones
_EYES = (33, 263)  # outer corners


def atc_recipe(config: HeadposeConfig, prepared: Path) -> AtcRecipe:
    """The general training of ATC-net on prepared clips."""
    model = load_mesh478()
    train = list(speaking_clips(prepared, model, split="train"))
    people = {clip.person for clip in train}
    validation = [clip for clip in speaking_clips(prepared, model, split="val") if clip.person not in people]
    return AtcRecipe(train, model, config.audio, validation=[clip for clip in validation if clip.weight.sum() > 60])


def gan_recipe(config: HeadposeConfig, prepared: Path) -> GeneratorRecipe:
    """The general training of a published generator on prepared clips, whose faces are rendered first, once."""
    if config.renderer.kind == "compact":
        raise UsageError("headpose.gan trains the published generators; give --config official or --config journal")
    face = face_render_model(config)
    folder = prepared / f"pairs-{config.face_model}-{config.renderer.view_px}"
    thumb_px = thumb_side(config.renderer.feature)
    train = render_people(prepared, folder, face, config.renderer.view_px, thumb_px, "train", MOST_CLIPS)
    held_out = render_people(prepared, folder, face, config.renderer.view_px, thumb_px, "val", MOST_HELD_OUT)
    if not train:
        raise InputError(f"no train clip in {prepared} shows a face large enough to learn from; prepare others")
    features = None
    if config.renderer.kind == "adain":
        # relative to their own clip, as in `fit`, which has one person only
        features = np.concatenate([picture_features(pairs.thumbs, config.renderer.feature) for pairs in train])
    return GeneratorRecipe(
        join_pairs(train),
        config.renderer,
        features=features,
        held_out=join_pairs(held_out) if held_out else None,
        batch_size=config.fit.batch_size,
        general=True,
    )


def render_people(
    prepared: Path, folder: Path, face: FaceRenderModel, view_px: int, thumb_px: int, split: str, most: int
) -> list[Pairs]:
    """Pairs of a stretch of each clip of a split, of as many people as possible; kept in `folder`."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    clips = choose_clips(prepared, split, most)
    found = []
    for number, clip in enumerate(clips):
        report_progress("drawing faces", number, len(clips))
        file = folder / f"{clip.slug}-{thumb_px}.npz"
        if not file.is_file():
            pairs = _render_clip(clip, face, view_px, thumb_px)
            if pairs is None:
                continue
            save_record(file, pairs)
        found.append(load_record(Pairs, file))
    return found


def _render_clip(clip: PreparedClip, face: FaceRenderModel, view_px: int, thumb_px: int) -> Pairs | None:
    """Pairs of one clip; None if its face is too small or seen for too short a time."""
    whole, free = load_faces(clip)
    first, last = _stretch(free)
    track = whole.part(first, last)
    unit = np.linalg.norm(track.landmarks[:, _EYES[0]] - track.landmarks[:, _EYES[1]], axis=-1)
    if last - first < LEAST_STRETCH or float(np.median(unit)) < LEAST_UNIT_PX:
        return None
    try:
        pictures = [np.ascontiguousarray(frame.rgb) for frame in islice(read_frames(clip.path), first, last)]
        fit = fit_video(face.model, face.surface, track, lambda: pictures)
    except TalkingFaceError as error:
        print(f"left out: {clip.path.name}: {error}")
        return None
    view = choose_view(track.landmarks, track.size, view_px)
    return render_pairs(pictures, track, FaceRenderer(fit, face, view), view, np.arange(len(track)), thumb_px)


def _stretch(free: np.ndarray) -> tuple[int, int]:
    """First frame and end of at most `STRETCH` frames in the middle of the longest run in `free` bool [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(int), [0]])))
    if not len(edges):
        return 0, 0
    longest = int((edges[1::2] - edges[::2]).argmax())
    first, last = int(edges[2 * longest]), int(edges[2 * longest + 1])
    first += max(0, last - first - STRETCH) // 2
    return first, min(last, first + STRETCH)


def make_official(
    name: str, data: Path, folder: Path, *, config: HeadposeConfig | None = None,
    steps: tuple[int, int] = (ATC_STEPS, GAN_STEPS),
) -> Path:  # fmt: skip
    """Both stages of preset `name` (or of `config`), from a data folder to weights "headpose.<name>-general" for fits
    of that config; returns their folder. Stages that are finished in `folder` are skipped."""
    config = config or preset(name)
    prepared = prepare_data(data, folder)
    stages = [
        Stage(
            name="atcnet",
            steps=steps[0],
            make=lambda done: atc_recipe(config, prepared),
            settings={"config": to_dict(config.audio)},
        ),
        Stage(
            name="gan",
            steps=steps[1],
            make=lambda done: gan_recipe(config, prepared),
            settings={"config": to_dict(config.renderer)},
        ),
    ]
    done = run_general(folder / name, stages)
    # the generator is the average of the training, discriminator and query network are those of the last step. The bank
    # is left out: 60 MB of other people's faces, of which a fit retrieves none
    tensors = named("audio", arrays(done["atcnet"].networks["audio"]))
    for part, state in {**done["gan"].last, "renderer": done["gan"].networks["renderer"]}.items():
        tensors |= named(part, arrays(state))
    card = make_card(
        f"{SPEC.name}.{name}-general",
        done,
        terms=RESEARCH,
        data=f"atcnet: all train clips with speech; gan: up to {STRETCH} frames of each of up to {MOST_CLIPS} clips",
        held_back=held_back_of(prepared_clips(prepared)),
        seed=GENERAL_SEED,
        config=config_of_weights(config),
        origin=f"{OWN_ORIGIN}; no outside networks",
        system=SPEC.name,
        paper=SPEC.paper,
    )
    return save_made(folder, tensors, card)
