"""One pair of videos becomes one record of figures."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from talkingface.api.evaluation.pairs import Pair
from talkingface.api.evaluation.score.learned import Task, score_learned
from talkingface.api.evaluation.score.motion import (
    Figures,
    Moves,
    moves_of,
    score_against,
    score_closures,
    score_motion,
    score_speech,
    score_style,
)
from talkingface.api.evaluation.score.phones import PhoneJob
from talkingface.api.evaluation.score.pictures import PictureFigures, score_pictures
from talkingface.api.evaluation.subject import (
    CLOCK_FPS,
    LEAST_FRAMES,
    Subject,
    check_comparable,
    read_subject,
)
from talkingface.core.errors import SpeechError, UsageError, WeightsError
from talkingface.metrics.definitions import DEFINITIONS

if TYPE_CHECKING:
    from talkingface.metrics.sync_expert import SyncExpert

RATE_HZ = 16000
SYNC_KEYS = ("sync.offset_frames", "sync.confidence", "sync.distance")
RATIO_KEYS = ("picture.sharpness_ratio", "picture.cpbd_ratio")
OF_SOUND = ("sync.", "speech.", "style.", "motion.beat_")
OF_SYSTEMS = "leak."


def score_pair(pair: Pair, threads: int = 1) -> dict[str, Any]:
    """Every figure of one pair: `metrics` by key, `gaps` (why a figure is missing), `per_frame`, lengths and notes;
    `arrays` by name are worth keeping beside it.

    Values are floats, NumPy arrays and infinities; `evaluation.report.strict` makes them JSON. The figures do not
    depend on `threads`. Raises InputError, FaceError, SpeechError, UsageError for what cannot be scored.
    """
    notes: list[str] = []
    samples = _sound(pair, notes)
    heard = np.zeros(0, np.float32) if samples is None else samples[: _shown_s(pair) * RATE_HZ]
    with PhoneJob(heard, beside=threads > 1 and samples is not None) as phones:
        return _score(pair, samples, phones, threads, notes)


def _score(pair: Pair, samples: np.ndarray | None, phones: PhoneJob, threads: int, notes: list[str]) -> dict[str, Any]:
    generated, reference = _subjects(pair, threads)
    lengths = {"generated": generated.duration_s}
    lengths |= {} if reference is None else {"reference": reference.duration_s}
    lengths |= {} if samples is None else {"speech": len(samples) / RATE_HZ}
    if reference is not None:
        check_comparable(generated, reference)
        count = min(len(generated), len(reference))
        generated, reference = generated.first(count), reference.first(count)
    if len(generated) < LEAST_FRAMES:
        raise UsageError(f"{pair.generated} lasts {generated.duration_s:.2f} s; at least 1 s is needed")
    figures = Figures(notes=[*generated.notes, *(reference.notes if reference else ()), *notes])
    pictures = score_pictures(generated, reference, threads)
    count = min(len(pictures), len(generated))
    generated, reference = generated.first(count), None if reference is None else reference.first(count)
    _put_pictures(figures, pictures, pair.source)
    moves, true = _score_moves(figures, generated, reference)
    if samples is not None:
        samples = samples[: round(count / CLOCK_FPS * RATE_HZ)]
        score_speech(figures, moves, samples, _real_motion(true, samples))
        score_style(figures, moves, samples)
        if true is not None:
            score_style(figures, true, samples, ".reference")
        score_closures(figures, moves, phones)
        _score_sync(figures, generated, reference, pictures, samples)
    task = Task(generated=generated, reference=reference, samples=samples, source=pair.source)
    arrays = score_learned(figures, task)
    _explain_gaps(figures, reference is not None, samples is not None)
    record = _record(figures, generated, reference, lengths, count)
    return record | {"face_box": pictures.face_box, "arrays": arrays}


def _shown_s(pair: Pair) -> int:
    """How long the shorter of the videos lasts at most. Files state it, but some only estimate."""
    from talkingface.video.read import probe

    stated = min(probe(path).duration_s for path in (pair.generated, pair.reference) if path is not None)
    return math.ceil(1.1 * stated) + 1


def _subjects(pair: Pair, threads: int) -> tuple[Subject, Subject | None]:
    assert pair.generated is not None
    if pair.reference is None:
        return read_subject(pair.generated, "generated video"), None
    if threads == 1:
        return read_subject(pair.generated, "generated video"), read_subject(pair.reference, "reference")
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(read_subject, pair.reference, "reference")
        generated = read_subject(pair.generated, "generated video")
        return generated, other.result()


def _sound(pair: Pair, notes: list[str]) -> np.ndarray | None:
    """The speech: the file named, else the generated video's own sound, else the reference's; float32 [N] at 16 kHz."""
    from talkingface.audio.read import read_audio
    from talkingface.video.read import probe

    track = pair.sound_track
    if pair.speech is not None:
        return read_audio(pair.speech, RATE_HZ, track=track, notes=notes).samples[0]
    for path in (pair.generated, pair.reference):
        if path is not None and probe(path).has_audio:
            try:
                return read_audio(path, RATE_HZ, track=track, notes=notes).samples[0]
            except SpeechError:
                if track is not None:
                    raise
    return None


def _score_moves(figures: Figures, generated: Subject, reference: Subject | None) -> tuple[Moves, Moves | None]:
    if reference is None:
        moves, _ = moves_of(generated)
        score_motion(figures, generated, moves)
        return moves, None
    true, neutral = moves_of(reference)
    moves, _ = moves_of(generated, neutral)
    score_motion(figures, generated, moves)
    score_against(figures, generated, moves, reference, true)
    return moves, true


def _real_motion(true: Moves | None, samples: np.ndarray) -> float | None:
    from talkingface.metrics.behaviour import mouth_motion, speech_frames

    if true is None:
        return None
    gap = true.mouth[:, 0]
    return mouth_motion(gap, speech_frames(samples, CLOCK_FPS, len(gap)), CLOCK_FPS)


def _put_pictures(figures: Figures, pictures: PictureFigures, source: Path | None) -> None:
    from talkingface.metrics.behaviour import still_share

    for key, rows in pictures.per_frame.items():
        measured = rows[~np.isnan(rows)]
        if key == "motion.frame_change":
            figures.put("motion.still_share", still_share(measured))
        finite = measured[np.isfinite(measured)]
        if len(measured) and not len(finite):
            figures.put(key, float("inf"), rows)
        elif len(finite):
            figures.put(key, finite.mean(), rows)
            if len(finite) < len(measured):
                figures.notes.append(f"{key}: {len(measured) - len(finite)} identical frames are left out of the mean")
    if source is None:
        figures.miss("no source photo given", *RATIO_KEYS)
    else:
        _put_sharpness_ratio(figures, source, pictures.face_px)


def _put_sharpness_ratio(figures: Figures, source: Path, face_px: float) -> None:
    """Sharpness over that of the photo, whose face is first brought to the size of the video's."""
    from talkingface.face.track import track_image
    from talkingface.metrics.picture import cpbd, laplacian_sharpness, square_box
    from talkingface.video.image import read_image

    rgb = read_image(source).rgb
    face = square_box(track_image(rgb).landmarks, (rgb.shape[1], rgb.shape[0])).cut(rgb)
    scale = face_px / max(face.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    face = cv2.resize(face, None, fx=scale, fy=scale, interpolation=method)
    figures.put(RATIO_KEYS[0], figures.metrics["picture.sharpness"] / max(laplacian_sharpness(face), 1e-9))
    figures.put(RATIO_KEYS[1], figures.metrics["picture.cpbd"] / max(cpbd(face), 1e-9))


@cache
def _sync_expert() -> SyncExpert:
    from talkingface.metrics.sync_expert import SyncExpert

    return SyncExpert.load()


def _score_sync(
    figures: Figures, generated: Subject, reference: Subject | None, pictures: PictureFigures, samples: np.ndarray
) -> None:
    from talkingface.face.mouth_view import mouth_view

    times = np.arange(len(generated)) / CLOCK_FPS
    try:
        expert = _sync_expert()
    except WeightsError as error:
        figures.miss(str(error), *SYNC_KEYS)
        return
    subjects = [("", generated, pictures.mouths)]
    if reference is not None and pictures.true_mouths is not None:
        subjects.append((".reference", reference, pictures.true_mouths))
    for suffix, subject, mouths in subjects:
        view = mouth_view(mouths, subject.points, times, subject.seen.astype(np.float32))
        found = expert.score(view, samples)
        for key, value in zip(SYNC_KEYS, (found.offset_frames, found.confidence, found.distance), strict=True):
            figures.put(key + suffix, value, reason="the clip is too short or too quiet")


def _explain_gaps(figures: Figures, compared: bool, heard: bool) -> None:
    """A reason for every figure that was not measured: nothing is missing without a word."""
    for key in DEFINITIONS:
        if key in figures.metrics or key in figures.gaps or key.startswith(OF_SYSTEMS):
            continue
        if key.startswith(OF_SOUND) and not heard:
            figures.miss("there is no sound", key)
        else:
            figures.miss("it could not be measured" if compared else "no reference given", key)


def _record(
    figures: Figures, generated: Subject, reference: Subject | None, lengths: dict[str, float], count: int
) -> dict[str, Any]:
    compared = count / CLOCK_FPS
    return {
        "frames": count,
        "fps": CLOCK_FPS,
        "source_fps": {"generated": float(generated.fps)} | ({"reference": float(reference.fps)} if reference else {}),
        "size": list(reference.size if reference else generated.size),
        "duration_s": lengths,
        "excess_s": {role: max(0.0, seconds - compared) for role, seconds in lengths.items()},
        "metrics": figures.metrics,
        "gaps": figures.gaps,
        "per_frame": figures.per_frame,
        "minutes": figures.minutes,
        "notes": figures.notes,
    }
