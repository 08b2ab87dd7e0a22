"""Held-out figures of an avatar, driven with the true motion and by the voice: so they say which part is at fault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from talkingface.core.cache import write_atomic
from talkingface.core.motion import cut_motion
from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.person.clip import FPS, RATE_HZ, PersonClip
from talkingface.person.eyes import gaze_in_room, lids_of, look_of
from talkingface.person.held_out import score_held_out
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.systems.geneface.manner import Manner
from talkingface.systems.geneface.motion.adapt import Adapter
from talkingface.systems.geneface.speaking import person_speech
from talkingface.systems.geneface.variants import load_renderer
from talkingface.video.stored import StoredFrames

TRUE, SPOKEN = "true", "spoken"
_PIECE = 50  # frames of motion at a time
GOOD, FAIR, WIDE = 0.85, 0.7, 0.15  # correlations of the lip gap with the true one, and a wide distance of two


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Figures of `person.held_out`: of the `true` motion, and of what is `spoken`; and a `verdict` in one sentence."""

    true: dict[str, float]
    spoken: dict[str, float]
    verdict: str


def judge(
    job: FitJob, clip: PersonClip, train: np.ndarray, test: np.ndarray, tensors: Mapping[str, np.ndarray],
    adapter: Adapter, manner: Manner,
) -> Judged:  # fmt: skip
    """Draw the frames `test` bool [T] from their true motion, and from their sound with their true head pose.

    Nothing else of these frames is shown. Writes "held_out.json" and "held_out.mp4": the clip, then both.
    """
    note, video = job.folder / "held_out.json", job.folder / "held_out.mp4"
    if note.is_file() and video.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        return Judged(true=found[TRUE], spoken=found[SPOKEN], verdict=verdict(found[TRUE], found[SPOKEN]))
    rows = np.flatnonzero(test)
    first, last = int(rows[0]), int(rows[-1]) + 1
    true = true_motion(clip, train, first, last)
    speech = person_speech(job.general, adapter.tensors, manner, job.config.speech)
    spoken = np.concatenate([*speech.stream(iter([clip.samples]), job.seed)])[first:last]
    motions = {TRUE: true, SPOKEN: with_expression(true, spoken)}
    renderer = load_renderer(job.config, tensors, manner.rest_pose, job.device)(
        Controls(pose="generated", size="native")
    )
    made = {name: renderer.frames(_pieces(motion)) for name, motion in motions.items()}
    samples = clip.samples[RATE_HZ * first // FPS : RATE_HZ * last // FPS]
    figures = score_held_out(made, StoredFrames(clip.frames, clip.size), clip.track, first, samples, video, SPEC.name)
    with write_atomic(note, "w") as file:
        json.dump(figures, file, indent=2)
    return Judged(true=figures[TRUE], spoken=figures[SPOKEN], verdict=verdict(figures[TRUE], figures[SPOKEN]))


def true_motion(clip: PersonClip, train: np.ndarray, first: int, last: int) -> Motion:
    """The tracked motion of frames `first` to `last` (not included): mouth, brows, head, lids and eyes, the last two
    about where they rest in the frames `train`."""
    frames, rows = slice(first, last), clip.head(train).rows
    return Motion(
        space=MESH478.name,
        space_version=MESH478.version,
        expression=clip.fit.expression[frames].astype(np.float32),
        pose=rows[frames],
        blink=lids_of(clip, train)[frames, None],
        gaze=gaze_in_room(look_of(clip, train), rows)[frames],
        fps=FPS,
    )


def with_expression(motion: Motion, expression: np.ndarray) -> Motion:
    """With another mouth; a voice that ends before the pictures leaves the last one."""
    missing = len(motion) - len(expression)
    return replace(motion, expression=np.pad(expression, ((0, missing), (0, 0)), mode="edge").astype(np.float32))


def _pieces(motion: Motion) -> Iterator[Motion]:
    for begin in range(0, len(motion), _PIECE):
        yield cut_motion(motion, begin, min(begin + _PIECE, len(motion)))


def verdict(true: Mapping[str, float], spoken: Mapping[str, float]) -> str:
    """What the held-out figures say about where the lips' faults come from, in one sentence."""
    if not {"gap"} <= true.keys() & spoken.keys():
        return "the made pictures show no face: the picture has learned nothing yet; train longer"
    drawn, heard = true["gap"], spoken["gap"]
    figures = f"held-out lips follow the true ones at {heard:.2f} by the voice, at {drawn:.2f} by true motion"
    if drawn < FAIR:
        return f"{figures}: the picture is at fault; film closer, sharper or longer"
    if drawn - heard > WIDE:
        return f"{figures}: what is missing comes from hearing the voice, not from the picture"
    if drawn < GOOD:
        return f"{figures}: picture and hearing both have their share in what is missing"
    return f"{figures}: picture and voice agree"
