"""Mouths while nobody speaks: `bench --what silence`. Each sound is listed under `details`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from benchmarks.motion.sounds import at_level, breath, coloured_noise, music, room_noise
from benchmarks.motion.speaking import RATE_HZ, delays, open_speaker
from benchmarks.targets import Finding, Row, TargetJob, at_most
from talkingface.core.errors import FaceError
from talkingface.core.progress import report_progress
from talkingface.face.morphable import fit_photo
from talkingface.face.track import track_image
from talkingface.metrics.mouth import mouth_measures, open_share
from talkingface.training.speaking_clips import FPS
from talkingface.video.image import read_image

SECONDS = 5.0
MUSIC_S = 12.0
OPEN_GAP = 0.03
ROOM_DB = (-70.0, -60.0, -50.0, -40.0)
NOISE_DB = (-50.0, -40.0, -30.0, -20.0)
SLOPES = {"white": 0.0, "pink": 1.0, "brown": 2.0}
BREATH_DB = (-50.0, -40.0, -30.0)
MUSIC_DB = (-30.0, -20.0, -14.0)
SEEDS = (1, 2, 3)
PORTRAITS = 10


def silence(job: TargetJob) -> Finding:
    """Frames with a gap over 0.03 in sounds without speech; five of ten portraits smile."""
    speaker, settings = open_speaker(job), delays()
    portraits = smiling_and_not(job)
    neutrals = [fit_photo(speaker.model, points).neutral for _, points in portraits]
    sounds = [(kind, name, samples) for kind, some in quiet_sounds().items() for name, samples in some.items()]
    details = []
    for number, (kind, name, samples) in enumerate(sounds):
        report_progress("sounds", number, len(sounds))
        for delay, controls in settings.items():
            moves = speaker.moves(samples, controls)
            gaps = np.array([mouth_measures(neutral + moves)[:, 0] for neutral in neutrals])
            details.append(
                {
                    "kind": kind,
                    "sound": name,
                    "delay": delay,
                    "frames": gaps.size,
                    "open": round(open_share(gaps.ravel(), OPEN_GAP) * gaps.size),
                    "widest_gap": gaps.max(axis=1).tolist(),
                    "widest_after_2_s": gaps[:, 2 * FPS :].max(axis=1).tolist(),
                }
            )
    shown = [{"portrait": name, "gap": float(mouth_measures(points)[0])} for name, points in portraits]
    return Finding(rows=[*silence_rows(details)], details={"sounds": details, "portraits": shown})


def silence_rows(details: list[dict[str, object]]) -> Iterator[Row]:
    """Open frames of each kind of sound, delay by delay."""
    for kind, delay in dict.fromkeys((str(row["kind"]), str(row["delay"])) for row in details):
        chosen = [row for row in details if (row["kind"], row["delay"]) == (kind, delay)]
        count, frames = (sum(int(row[key]) for row in chosen) for key in ("open", "frames"))  # type: ignore[call-overload]
        yield at_most(f"open frames in {kind}, {delay} (of {frames})", count, 0)


def quiet_sounds() -> Mapping[str, Mapping[str, np.ndarray]]:
    """Sounds without speech, by kind and name: float32 [N] at 16 kHz."""
    noises = {f"{name} noise at {level:g} dBFS": (slope, level) for name, slope in SLOPES.items() for level in NOISE_DB}
    songs = {seed: music(MUSIC_S, seed, 0.0) for seed in SEEDS}
    breaths = [(seed, level) for seed in SEEDS for level in BREATH_DB]
    return {
        "digital silence": {"digital silence": np.zeros(int(SECONDS * RATE_HZ), np.float32)},
        "room noise": {f"room noise at {level:g} dBFS": room_noise(SECONDS, 1, level) for level in ROOM_DB},
        "steady noise": {name: coloured_noise(SECONDS, 1, level, slope) for name, (slope, level) in noises.items()},
        "breath": {f"breath {seed} at {level:g} dBFS": breath(MUSIC_S, seed, level) for seed, level in breaths},
        "music": {
            f"music {seed} at {level:g} dBFS": at_level(song, level)
            for seed, song in songs.items()
            for level in MUSIC_DB
        },
    }


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
