"""Generated motion against tracked clips and known speech: `bench --what mouth|head|silence|closures`.

Figures are of the face model moved on each person's own neutral shape (fitted to one photo: the clip's first
frame), before pictures are drawn. Each clip is listed under `details`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks.targets import Finding, Row, TargetJob
from talkingface import api
from talkingface.audio.phones import align_phones, grid_sentence
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry, list_clips
from talkingface.clips.tracked import track_clip
from talkingface.core.errors import FaceError, SpeechError
from talkingface.core.motion import concatenate
from talkingface.core.progress import report_progress
from talkingface.core.types import Controls, Motion
from talkingface.face.morphable import LinearFaceModel, fit_photo, load_mesh478
from talkingface.face.track import track_image
from talkingface.metrics.mouth import (
    BILABIALS,
    CLOSED_GAP,
    MAX_LAG,
    OPEN_VOWELS,
    compare_mouths,
    mouth_measures,
    open_share,
    reached_gaps,
)
from talkingface.metrics.pose import CHANNELS, PoseRange, angle_speeds, pose_angles, pose_range, share_inside
from talkingface.metrics.sync import best_lag
from talkingface.training.speaking_clips import FPS, SpeakingClip, describe_clip
from talkingface.video.image import read_image

Speak = Callable[[Iterable[np.ndarray], Controls], Iterator[Motion]]
"""Speech in pieces to motion."""
RATE_HZ = 16000
LONGEST_PX = 1280
SHORTEST_S = 2.4
OWN = "grid_s1_"
"""Val clips of a speaker who is in train."""
LEAST = {"gap": 0.72, "width": 0.58, "jaw": 0.75}
RATIO = (0.7, 1.3)
OPEN_GAP = 0.03
CLOSED_SHARE, VOWEL_ERROR = 0.9, 0.25
ROOM_DB = (-70.0, -60.0, -50.0, -40.0)
PORTRAITS = 10
RANGE_FRAMES = 50
"""Shorter clips say little about how far a head turns."""


def mouth(job: TargetJob) -> Finding:
    """Correlation of gap, width and jaw with the true mouth on val clips of at least 2.4 s, speech only in."""
    speak, model = _speaker(job), load_mesh478()
    wanted = [entry for entry in list_clips(job.folder) if entry.split == "val" and entry.speaks]
    scores = []
    for number, entry in enumerate(wanted[: job.limit]):
        report_progress("clips", number, len(wanted[: job.limit]))
        clip, photo = _clip(entry, model)
        if len(clip.samples) >= SHORTEST_S * RATE_HZ and len(clip) >= 2 * FPS:
            scores.append(score_mouth(clip, generated_measures(speak, model, photo, clip.samples)))
    unseen = [score for score in scores if not score["own"]]
    rows = []
    for name, least in LEAST.items():
        value = float(np.median([score[name] for score in unseen]))
        rows.append(Row(name=f"correlation of {name}, median of {len(unseen)} clips", value=value, target=f">= {least}",
                        met=value >= least))  # fmt: skip
    rows += [
        Row(
            name=f"correlation of {name} at lag 0, one offset a clip",
            value=float(np.median([s[f"{name}0"] for s in unseen])),
        )
        for name in LEAST
    ]
    ratio = float(np.median([score["ratio"] for score in unseen]))
    rows.append(Row(name="generated over real deviation of gap", value=ratio, target="0.7 to 1.3",
                    met=RATIO[0] <= ratio <= RATIO[1]))  # fmt: skip
    return Finding(rows=rows, details={"clips": scores})


def score_mouth(clip: SpeakingClip, generated: np.ndarray) -> dict[str, Any]:
    """Figures of one clip; `name0` is at lag 0 after shifting the clip by `offset`, the lag of its real gap."""
    length = min(len(generated), len(clip))
    generated, true = generated[:length], clip.measures[:length]
    offset = best_lag(generated[:, 0], true[:, 0], 2 * MAX_LAG)[0]
    found = compare_mouths(generated, true, offset)
    score: dict[str, Any] = {"clip": clip.slug, "own": clip.slug.startswith(OWN), "frames": length, "offset": offset}
    score |= dict(zip(LEAST, found.correlation, strict=True))
    score |= dict(zip((f"{name}0" for name in LEAST), found.aligned, strict=True))
    return score | {"ratio": found.gap_ratio}


def closures(job: TargetJob) -> Finding:
    """How many /p b m/ of all grid clips close the lips, and how far open vowels open them."""
    speak, model = _speaker(job), load_mesh478()
    wanted = [entry for entry in list_clips(job.folder) if entry.slug.startswith("grid_")]
    scores = []
    for number, entry in enumerate(wanted[: job.limit]):
        report_progress("clips", number, len(wanted[: job.limit]))
        clip, photo = _clip(entry, model)
        spans = align_phones(clip.samples, grid_sentence(entry.slug.split("_")[-1][:6]))
        score: dict[str, Any] = {"clip": entry.slug, "unseen": entry.split == "val" and not entry.slug.startswith(OWN)}
        measures = {"generated": generated_measures(speak, model, photo, clip.samples), "true": clip.measures}
        for name, values in measures.items():
            score[f"{name}_lips"] = reached_gaps(values[:, 0], FPS, spans, BILABIALS, lowest=True).tolist()
            score[f"{name}_vowels"] = reached_gaps(values[:, 0], FPS, spans, OPEN_VOWELS, lowest=False).tolist()
        scores.append(score)
    rows = [*closure_rows("all clips", scores)]
    rows += closure_rows("unseen speaker", [score for score in scores if score["unseen"]])
    return Finding(rows=rows, details={"clips": scores})


def closure_rows(name: str, scores: Sequence[dict[str, Any]]) -> Iterator[Row]:
    """The figures of a group of clips; none if it is empty."""
    joined = {key: np.concatenate([s[key] for s in scores]) for key in (scores[0] if scores else ()) if "_" in key}
    if not joined:
        return
    share = float((joined["generated_lips"] < CLOSED_GAP).mean())
    yield Row(name=f"{name}: /p b m/ that close", value=share, target=f">= {CLOSED_SHARE}", met=share >= CLOSED_SHARE)
    yield Row(name=f"{name}: the same of the real mouth", value=float((joined["true_lips"] < CLOSED_GAP).mean()))
    error = float(joined["generated_vowels"].mean() / joined["true_vowels"].mean() - 1)
    yield Row(name=f"{name}: open-vowel gap against the speaker's", value=error, target=f"within {VOWEL_ERROR}",
              met=abs(error) <= VOWEL_ERROR)  # fmt: skip


def head(job: TargetJob) -> Finding:
    """Generated pose of 60 s against the 5 to 95 % range of the train clips, for ten seeds.

    The range of each figure is that of the clips: how far (standard deviation) and how fast heads turn in each.
    The share of single frames inside the range of all frames is given beside it.
    """
    speak, model = _speaker(job), load_mesh478()
    wanted = [entry for entry in list_clips(job.folder) if entry.split == "train" and "arabic" not in entry.slug]
    poses = []
    for number, entry in enumerate(wanted[: job.limit]):
        report_progress("clips", number, len(wanted[: job.limit]))
        if entry.speaks:
            clip, _ = _clip(entry, model)
            if len(clip) >= RANGE_FRAMES and clip.weight.all():
                poses.append(clip.pose)
    allowed = pose_range(poses, FPS)
    voice = _minute_of_speech(job)
    generated = []
    for seed in range(PORTRAITS):
        pose = concatenate(speak([voice], Controls(seed=seed))).pose
        assert pose is not None
        generated.append(pose)
    return Finding(rows=[*_head_rows(poses, generated, allowed)], details={"allowed": _as_json(allowed)})


def _head_rows(poses: Sequence[np.ndarray], generated: Sequence[np.ndarray], allowed: PoseRange) -> Iterator[Row]:
    real, made = np.array([_spreads(pose) for pose in poses]), np.array([_spreads(pose) for pose in generated])
    inside = np.mean([share_inside(pose, FPS, allowed) for pose in generated], axis=0)
    names = [*(f"{name}, deg" for name in CHANNELS), *(f"{name} speed, deg/s" for name in CHANNELS)]
    for k, name in enumerate(names):
        low, high = np.percentile(real[:, k], [5, 95])
        met = bool(((made[:, k] >= low) & (made[:, k] <= high)).all())
        yield Row(
            name=f"deviation of {name}", value=float(made[:, k].mean()), target=f"{low:.2f} to {high:.2f}", met=met
        )
        yield Row(name=f"share of frames inside the clips' range of {name}", value=float(inside[k]))


def _spreads(pose: np.ndarray) -> np.ndarray:
    angles = pose_angles(pose)
    return np.concatenate([angles.std(axis=0), angle_speeds(angles, FPS).std(axis=0)])


def _as_json(allowed: PoseRange) -> dict[str, Any]:
    return {"angle_deg": allowed.angle.round(2).tolist(), "speed_deg_s": allowed.speed.round(2).tolist()}


def silence(job: TargetJob) -> Finding:
    """Frames with a gap over 0.03 in 5 s of digital silence and of room noise; five of ten portraits smile."""
    speak, model = _speaker(job), load_mesh478()
    sounds = {"digital silence": np.zeros(5 * RATE_HZ, np.float32)}
    sounds |= {f"room noise at {level:g} dBFS": room_noise(5.0, 1, level) for level in ROOM_DB}
    portraits = smiling_and_not(job)
    rows, details = [], []
    for sound, samples in sounds.items():
        gaps = np.array([generated_measures(speak, model, points, samples)[:, 0] for _, points in portraits])
        count = float(open_share(gaps.ravel(), OPEN_GAP) * gaps.size)
        rows.append(Row(name=f"open frames in {sound}", value=count, target="0", met=count == 0))
        details.append(
            {
                "sound": sound,
                "widest_gap": gaps.max(axis=1).tolist(),
                "widest_after_2_s": gaps[:, 50:].max(axis=1).tolist(),
            }
        )
    shown = [{"portrait": name, "gap": float(mouth_measures(points)[0])} for name, points in portraits]
    return Finding(rows=rows, details={"sounds": details, "portraits": shown})


def smiling_and_not(job: TargetJob) -> list[tuple[str, np.ndarray]]:
    """(name, points [478, 3]) of ten portraits: those with the widest open lips and those with the most closed."""
    found = []
    for path in sorted((job.folder / "portrait").iterdir()):
        try:
            points = track_image(read_image(path).rgb).landmarks
        except FaceError:
            continue
        found.append((float(mouth_measures(points)[0]), path.stem, points))
    found.sort(key=lambda item: item[:2])
    half = PORTRAITS // 2
    return [(name, points) for _, name, points in [*found[:half], *found[-half:]]]


def room_noise(seconds: float, seed: int, level_db: float) -> np.ndarray:
    """A quiet room, float32 [N] at 16 kHz: noise that falls with frequency, and a little mains hum."""
    rng = np.random.default_rng(seed)
    count = int(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.normal(size=count)) / np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 60) ** 0.5
    noise = np.fft.irfft(spectrum, count)
    noise = noise / noise.std() + 0.3 * np.sin(2 * np.pi * 100 * np.arange(count) / RATE_HZ)
    return (noise / noise.std() * 10 ** (level_db / 20)).astype(np.float32)


def generated_measures(speak: Speak, model: LinearFaceModel, photo: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """gap, width and jaw [T, 3] of the face in `photo` [478, 3] speaking `samples` float32 [N] at 16 kHz."""
    motion = concatenate(speak([samples], Controls()))
    return mouth_measures(fit_photo(model, photo).neutral + model.displacement(motion.expression))


def _speaker(job: TargetJob) -> Speak:
    system = api.load("portrait", weights=job.weights)
    return lambda pieces, controls: system.motion_from_audio(None, iter(pieces), controls)  # type: ignore[arg-type]


def _clip(entry: ClipEntry, model: LinearFaceModel) -> tuple[SpeakingClip, np.ndarray]:
    """The clip and the points of its first frame."""
    track = track_clip(entry.path, longest_px=LONGEST_PX).track
    try:
        samples = read_audio(entry.sound, RATE_HZ).samples[0]
    except SpeechError:
        samples = np.zeros(0, np.float32)
    return describe_clip(entry.slug, entry.identity, track, samples, model), track.landmarks[0]


def _minute_of_speech(job: TargetJob) -> np.ndarray:
    files = sorted((job.folder / "speech").glob("libri_*"))
    voices = [read_audio(path, RATE_HZ).samples[0] for path in files[:8]]
    return np.resize(np.concatenate(voices), 60 * RATE_HZ)
