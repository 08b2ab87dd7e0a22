"""The general stages of the published networks: many people first, from which `fit` goes on to one.

`talkingface train headpose.official-general DATA -o FOLDER` runs both and makes weights for `fit --config official
--weights`; `journal-general` does for the version of 2022. Either stage alone, on prepared clips:

    talkingface train headpose.atcnet FOLDER/prepared -o FOLDER/official/atcnet --config official --steps 10000
    talkingface train headpose.gan FOLDER/prepared -o FOLDER/official/gan --config official --steps 20000

The original trained on LRW, clips of 29 frames. Of every clip here the same length is taken: fitted in three
dimensions, drawn over its own frames, and kept beside the prepared clips.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from talkingface.clips.manifest import PreparedClip, prepared_clips
from talkingface.core.cache import output_error
from talkingface.core.config import to_dict
from talkingface.core.errors import InputError, TalkingFaceError, UsageError
from talkingface.core.progress import tell
from talkingface.core.types import Track
from talkingface.core.weights import save_weights
from talkingface.face.fit3d import fit_video
from talkingface.face.morphable import load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.config import HeadposeConfig, preset
from talkingface.systems.headpose.fit.stages import GENERAL_SEED, run_stage
from talkingface.systems.headpose.official.atc_recipe import AtcRecipe
from talkingface.systems.headpose.official.data import (
    FaceDrawer,
    Pairs,
    choose_view,
    draw_pairs,
    join_pairs,
    load_pairs,
    save_pairs,
)
from talkingface.systems.headpose.official.face.identity import picture_features, thumb_side
from talkingface.systems.headpose.official.face.render_model import DrawnFace, drawn_face
from talkingface.systems.headpose.official.recipe import ClassicRecipe
from talkingface.training.prepare import prepare
from talkingface.training.speaking_clips import speaking_clips
from talkingface.video.read import read_frames

ATC_STEPS, GAN_STEPS = 10000, 20000
STRETCH, LEAST_STRETCH = 29, 9
"""Frames taken of a clip, as many as LRW's have; shorter stretches of a seen face do, but not much shorter ones."""
MOST_CLIPS, MOST_HELD_OUT = 220, 12
"""Clips that are learned from (12 MB of memory each), and people that are only looked at."""
LEAST_UNIT_PX = 38
"""Distance of the outer eye corners below which a face is too small to teach anything."""
_EYES = (33, 263)


def atc_recipe(config: HeadposeConfig, prepared: Path) -> AtcRecipe:
    """The general training of ATC-net on prepared clips."""
    model = load_mesh478()
    train = list(speaking_clips(prepared, model, split="train"))
    people = {clip.person for clip in train}
    validation = [clip for clip in speaking_clips(prepared, model, split="val") if clip.person not in people]
    return AtcRecipe(train, model, config.audio, validation=[clip for clip in validation if clip.weight.sum() > 60])


def gan_recipe(config: HeadposeConfig, prepared: Path) -> ClassicRecipe:
    """The general training of a published generator on prepared clips, which are drawn first, once."""
    if config.renderer.kind == "compact":
        raise UsageError("headpose.gan trains the published generators; give --config official or --config journal")
    face = drawn_face(config)
    folder = prepared / f"pairs-{config.face_model}-{config.renderer.view_px}"
    thumb_px = thumb_side(config.renderer.feature)
    train = draw_people(prepared, folder, face, config.renderer.view_px, thumb_px, "train", MOST_CLIPS)
    held_out = draw_people(prepared, folder, face, config.renderer.view_px, thumb_px, "val", MOST_HELD_OUT)
    if not train:
        raise InputError(f"no train clip in {prepared} shows a face large enough to learn from; prepare others")
    features = None
    if config.renderer.kind == "adain":
        # what sets a moment apart from the same clip's others: what it says of a person who is fitted later
        features = np.concatenate([picture_features(pairs.thumbs, config.renderer.feature) for pairs in train])
    return ClassicRecipe(
        join_pairs(train),
        config.renderer,
        features=features,
        held_out=join_pairs(held_out) if held_out else None,
        batch_size=config.fit.batch_size,
        general=True,
    )


def draw_people(
    prepared: Path, folder: Path, face: DrawnFace, view_px: int, thumb_px: int, split: str, most: int
) -> list[Pairs]:
    """Composites and truths of a stretch of each clip of a split, as many people as possible; kept in `folder`."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    chosen = many_people([clip for clip in prepared_clips(prepared, split) if clip.speaks])[:most]
    found = []
    for number, clip in enumerate(chosen):
        tell("drawing faces", number, len(chosen))
        file = folder / f"{clip.slug}-{thumb_px}.npz"
        if not file.is_file():
            pairs = _draw_clip(clip, face, view_px, thumb_px)
            if pairs is None:
                continue
            save_pairs(file, pairs)
        found.append(load_pairs(file))
    return found


def many_people(clips: Sequence[PreparedClip]) -> list[PreparedClip]:
    """Prepared clips, one of each person first, then the second ones."""
    turn: dict[str, int] = {}
    order = []
    for clip in clips:
        # the anchors of the word clips are not told apart: each clip may be another person
        person = clip.slug if "arabic" in clip.slug else clip.identity
        turn[person] = turn.get(person, 0) + 1
        order.append((turn[person], clip.slug))
    return [clip for _, clip in sorted(zip(order, clips, strict=True), key=lambda pair: pair[0])]


def _draw_clip(clip: PreparedClip, face: DrawnFace, view_px: int, thumb_px: int) -> Pairs | None:
    """Pairs of one clip; None if it shows too small a face, or too little of it."""
    whole = clip.load_track()
    landmarks = whole.landmarks
    first, last = _stretch((whole.confidence > 0) & clip.free(len(whole)))
    part = slice(first, last)
    unit = np.linalg.norm(landmarks[part, _EYES[0]] - landmarks[part, _EYES[1]], axis=-1)
    if last - first < LEAST_STRETCH or float(np.median(unit)) < LEAST_UNIT_PX:
        return None
    track = Track(
        landmarks=landmarks[part], times_s=whole.times_s[part], confidence=whole.confidence[part], size=whole.size
    )
    try:
        pictures = [np.ascontiguousarray(frame.rgb) for frame in islice(read_frames(clip.path), first, last)]
        fit = fit_video(face.model, face.surface, track, lambda: pictures)
    except TalkingFaceError as error:
        print(f"left out: {clip.path.name}: {error}")
        return None
    view = choose_view(track.landmarks, track.size, view_px)
    return draw_pairs(pictures, track, FaceDrawer(fit, face, view), view, np.arange(len(track)), thumb_px)


def _stretch(free: np.ndarray) -> tuple[int, int]:
    """First frame and end of at most `STRETCH` frames in the middle of the longest run in `free` bool [T]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], free.astype(int), [0]])))
    if not len(edges):
        return 0, 0
    longest = int((edges[1::2] - edges[::2]).argmax())
    first, last = int(edges[2 * longest]), int(edges[2 * longest + 1])
    first += max(0, last - first - STRETCH) // 2
    return first, min(last, first + STRETCH)


def make_published(
    name: str, data: Path, folder: Path, *, config: HeadposeConfig | None = None,
    steps: tuple[int, int] = (ATC_STEPS, GAN_STEPS),
) -> Path:  # fmt: skip
    """Both stages of preset `name` (or of `config`) from a data folder to weights "headpose.<name>-general", which a
    fit of that config begins with; returns their folder. Finished stages in `folder` are skipped."""
    config, started = config or preset(name), time.time()
    prepared = folder / "prepared"
    for problem in prepare(data, prepared):
        print(f"left out: {problem}")
    audio, heard = run_stage(atc_recipe(config, prepared), folder / name / "atcnet", steps[0])
    recipe = gan_recipe(config, prepared)
    painted, seen = run_stage(recipe, folder / name / "gan", steps[1])
    states = {"audio": audio["audio"], "renderer": painted["renderer"], "judge": recipe.judge.state_dict()}
    if config.renderer.kind == "adain":
        states["query"] = recipe.query.state_dict()  # the bank is not kept: its faces are other people's
    tensors: dict[str, np.ndarray] = {}
    for part, state in states.items():
        tensors |= named(part, arrays(state))
    card = {
        "name": f"headpose.{name}-general",
        "system": SPEC.name,
        "version": 1,
        "licence": "research only",
        "allows": "research and evaluation, as the training clips' terms do",
        "data": f"atcnet: all train clips with speech; gan: up to {STRETCH} frames of each of up to {MOST_CLIPS} clips",
        "held_back": "frames 300 to 606 of person31 and the last 20 s of anchor_en",
        "origin": "trained by the talkingface project; no outside networks",
        "paper": SPEC.paper,
        "command": f"talkingface train headpose.{name}-general DATA -o FOLDER",
        "steps": {"atcnet": steps[0], "gan": steps[1]},
        "seed": GENERAL_SEED,
        "metrics": {key: round(value, 3) for key, value in (heard | seen).items()},
        "config": {key: value for key, value in to_dict(config).items() if key != "fit"},
        "trained_s": round(time.time() - started),
    }
    return save_weights(folder / "weights" / f"headpose.{name}-general", tensors, card).folder
