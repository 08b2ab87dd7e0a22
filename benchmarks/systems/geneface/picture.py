"""How good avatars of `geneface` are: the end of their clip, which trained nothing, from true motion and from its
sound, beside the still frame, `portrait` and other avatars of the same clip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from benchmarks.held_out import Fitted, avatar_pictures, fitted_clips, portrait_pictures
from benchmarks.systems.geneface.person import open_person
from benchmarks.targets import Finding, Row, TargetJob, at_least, between
from talkingface.core.motion import concatenate, cut_motion
from talkingface.core.types import Controls, Frames, Motion
from talkingface.metrics.mouth import MEASURES
from talkingface.person.clip import FPS, RATE_HZ
from talkingface.person.held_out import DETAIL_FIGURES, score_held_out
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.fit.evaluate import SPOKEN, TRUE, true_motion, with_expression
from talkingface.video.stored import StoredFrames

PORTRAIT, ALONE = "portrait", "voice alone"
STRICTEST, EASIER_DB = "anchor_en", 2.0
"""The clip that targets of the true motion were set for, and how much less is asked of others."""
PSNR = {"square_psnr": 27.0, "face_psnr": 33.0, "mouth_psnr": 31.0}
SPOKEN_FACE_PSNR, SLACK, DETAIL = 28.0, 0.02, (0.8, 1.15)
NAMES = {
    "square_psnr": "PSNR of the square, dB",
    "face_psnr": "PSNR of the face oval, dB",
    "mouth_psnr": "PSNR of the mouth box, dB",
    "detail": "gradient energy of the face over the real",
    "mouth_detail": "gradient energy of the mouth over the real",
}


def geneface_picture(job: TargetJob) -> Finding:
    """Figures of `person.held_out` of each avatar. `--sheets`: videos, real frames on the left."""
    rows: list[Row] = []
    details = {}
    for fitted in fitted_clips(job, SPEC.name):
        details[fitted.name] = _judge(fitted, job)
        rows += judged_rows(fitted.name, details[fitted.name])
    return Finding(rows=rows, details=details)


def _judge(fitted: Fitted, job: TargetJob) -> dict[str, dict[str, float]]:
    person = open_person(fitted)
    clip, first, last = person.clip, person.first, len(person.clip)
    true = true_motion(clip, person.train, first, last)
    voice = concatenate(
        person.system.motion_from_audio(person.avatar, iter([clip.samples]), Controls(pose="still", seed=1))
    )
    spoken = cut_motion(voice, first, min(last, len(voice)))
    with_mouth = with_expression(true, spoken.expression)
    motions = {TRUE: true, SPOKEN: with_mouth, ALONE: _with_lids_of(with_mouth, spoken)}
    renderer = person.system.open(person.avatar, Controls(pose="generated", size="native"))
    made: dict[str, Iterator[Frames]] = {name: renderer.frames(iter([motion])) for name, motion in motions.items()}
    made[PORTRAIT] = portrait_pictures(clip, first, last)
    for system, avatar in fitted.avatars.items():
        if system != SPEC.name:
            made[system] = avatar_pictures(avatar, fitted.clip, clip, first, last)
    video = None
    if job.sheets is not None:
        job.sheets.mkdir(parents=True, exist_ok=True)
        video = job.sheets / f"{fitted.name}-held-out.mp4"
    samples = clip.samples[RATE_HZ * first // FPS : RATE_HZ * last // FPS]
    frames = StoredFrames(clip.frames, clip.size)
    return score_held_out(made, frames, clip.track, first, samples, video, SPEC.name)


def _with_lids_of(motion: Motion, spoken: Motion) -> Motion:
    """With lids and gaze of the voice; eyes look as the head of `motion` turns."""
    count = len(motion)
    lids, gaze = spoken.blink, spoken.gaze
    if len(spoken) < count or lids is None or gaze is None or motion.pose is None:
        return replace(motion, blink=None, gaze=None)
    ahead = motion.pose[:, [1, 0]] * (-1, 1)
    return replace(motion, blink=lids[:count], gaze=(gaze[:count] + ahead).astype(gaze.dtype))


def judged_rows(name: str, figures: Mapping[str, Mapping[str, float]]) -> Iterator[Row]:
    """Rows of one clip's figures, by what the pictures were made from."""
    true, spoken = figures[TRUE], figures[SPOKEN]
    others = {other: found for other, found in figures.items() if other not in (TRUE, SPOKEN, ALONE)}
    less = 0.0 if name == STRICTEST else EASIER_DB
    for figure, limit in PSNR.items():
        yield at_least(f"{name}, true motion: {NAMES[figure]}", true[figure], limit - less)
    yield Row(name=f"{name}, still frame: PSNR of the square, dB", value=true["still_psnr"])
    for what, found in ((TRUE + " motion", true), ("own sound", spoken)):
        for figure in DETAIL_FIGURES:
            yield between(f"{name}, {what}: {NAMES[figure]}", found[figure], *DETAIL)
    for measure in MEASURES:
        name_of = f"{name}, own sound: correlation of {measure}"
        heard = [found[measure] for found in others.values() if measure in found]
        if measure not in spoken or not heard:
            yield Row(name=name_of, value=spoken.get(measure), met=None if measure in spoken else False)
        else:
            yield at_least(name_of, spoken[measure], round(max(heard) - SLACK, 3))
    lmd, still = spoken.get("lmd"), spoken.get("still_lmd")
    met = lmd is not None and still is not None and lmd < still
    target = "" if still is None else f"< {still:.4f}, the still frame's"
    yield Row(name=f"{name}, own sound: LMD of the mouth", value=lmd, target=target, met=met)
    yield at_least(f"{name}, own sound: {NAMES['face_psnr']}", spoken["face_psnr"], SPOKEN_FACE_PSNR)
    alone = f"{name}, own sound, lids and gaze too: {NAMES['face_psnr']}"
    yield at_least(alone, figures[ALONE]["face_psnr"], SPOKEN_FACE_PSNR)
    for figure in ("square_psnr", "mouth_psnr"):
        yield Row(name=f"{name}, own sound: {NAMES[figure]}", value=spoken[figure])
    for other, found in others.items():
        for figure in (*PSNR, *DETAIL_FIGURES):
            yield Row(name=f"{name}, {other}, own sound: {NAMES[figure]}", value=found[figure])
        for measure in (*MEASURES, "lmd"):
            yield Row(name=f"{name}, {other}, own sound: {measure}", value=found.get(measure))
