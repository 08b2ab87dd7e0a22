"""What the measurements of speech to motion share: clips of people who speak, and motion made from their sound.

Figures are of the face model moved on each person's own neutral shape (fitted to one photo: the clip's first frame),
before pictures are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.targets import TargetJob
from talkingface import api
from talkingface.audio.read import read_audio
from talkingface.clips.manifest import ClipEntry, list_clips, manifest_rows
from talkingface.clips.tracked import track_clip
from talkingface.core.errors import SpeechError
from talkingface.core.lags import best_lag
from talkingface.core.motion import concatenate
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.core.types import Controls, Motion
from talkingface.face.morphable import LinearFaceModel, fit_photo, load_mesh478
from talkingface.face.track import track_image
from talkingface.metrics.mouth import MAX_LAG, mouth_measures
from talkingface.training.speaking_clips import FPS, on_clock
from talkingface.video.image import read_image

Speak = Callable[[Iterable[np.ndarray], Controls], Iterator[Motion]]
"""Speech in pieces to motion."""
RATE_HZ = 16000
LONGEST_PX = 1280
SHORTEST_S = 2.4
MAX_OFFSET = 2 * MAX_LAG
"""Frames by which the lips of a clip may be late against its sound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenClip:
    """A clip with sound: `samples` float32 [N] at 16 kHz from time 0, true `measures` [T, 3] (gap, width, jaw) at 25
    fps from the same zero, and the `neutral` shape [478, 3] of the face in its first frame.

    `group` is the folder that it lies in, `language` the manifest's, `known`: other clips of the person are in train.
    """

    slug: str
    person: str
    split: str
    group: str
    language: str
    known: bool
    samples: np.ndarray
    measures: np.ndarray
    neutral: np.ndarray

    @property
    def long_enough(self) -> bool:
        """Whether correlations of it say something."""
        return len(self.samples) >= SHORTEST_S * RATE_HZ and len(self.measures) >= 2 * FPS


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFile:
    """A file of speech, and its language ("en")."""

    slug: str
    language: str
    path: Path

    def read(self, seconds: float | None = None) -> np.ndarray:
        """Its beginning, or all of it: float32 [N] at 16 kHz."""
        samples = read_audio(self.path, RATE_HZ).samples[0]
        return samples if seconds is None else samples[: round(seconds * RATE_HZ)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """A system that makes motion from speech, and the face model that its motion moves."""

    speak: Speak
    model: LinearFaceModel

    def measures(self, neutral: np.ndarray, samples: np.ndarray, controls: Controls | None = None) -> np.ndarray:
        """gap, width and jaw [T, 3] of a face of shape `neutral` [478, 3] saying `samples` float32 [N] at 16 kHz."""
        return mouth_measures(neutral + self.moves(samples, controls))

    def moves(self, samples: np.ndarray, controls: Controls | None = None) -> np.ndarray:
        """By how much points move [T, 478, 3] in what `samples` make a face do."""
        return self.model.displacement(concatenate(self.speak([samples], controls or Controls())).expression)


def open_speaker(job: TargetJob) -> Speaker:
    """`portrait` with the job's weights."""
    system = api.load("portrait", weights=job.weights)
    return Speaker(
        speak=lambda pieces, controls: system.speak(None, iter(pieces), controls),  # type: ignore[arg-type]
        model=load_mesh478(),
    )


def delays() -> dict[str, Controls]:
    """The controls of each setting for how much of the speech after a frame is heard."""
    return {"best": Controls(delay="best"), "low": Controls(delay="low")}


def wanted_clips(job: TargetJob, wanted: Callable[[ClipEntry], bool]) -> list[ClipEntry]:
    """Clips of the data folder from which speech can be learned and that are `wanted`, at most as many as asked for."""
    return [entry for entry in list_clips(job.folder) if entry.speaks and wanted(entry)][: job.limit]


def spoken_clips(
    job: TargetJob, model: LinearFaceModel, wanted: Callable[[ClipEntry], bool], *, language: str | None = None
) -> Iterator[SpokenClip]:
    """The `wanted` clips, of a language or all, tracked (tracks are kept between runs). What has no sound is no
    material and is left out."""
    languages = {row["slug"]: row.get("language", "") for row in manifest_rows(job.folder)}
    trained = {entry.identity for entry in list_clips(job.folder) if entry.split == "train"}
    entries = wanted_clips(job, lambda entry: language in (None, languages.get(entry.slug, "")) and wanted(entry))
    for number, entry in enumerate(entries):
        report_progress("clips", number, len(entries))
        samples = sound_of(entry)
        if samples is None:
            continue
        track = track_clip(entry.path, longest_px=LONGEST_PX).track
        yield SpokenClip(
            slug=entry.slug,
            person=entry.identity,
            split=entry.split,
            group=entry.path.relative_to(job.folder).parts[0],
            language=languages.get(entry.slug, ""),
            known=entry.split == "train" or entry.identity in trained,
            samples=samples,
            measures=on_clock(mouth_measures(track.landmarks), track.times_s),
            neutral=fit_photo(model, track.landmarks[0]).neutral,
        )


def sound_of(entry: ClipEntry) -> np.ndarray | None:
    """A clip's sound, float32 [N] at 16 kHz; None without one."""
    try:
        return read_audio(entry.sound, RATE_HZ).samples[0]
    except SpeechError:
        return None


def aligned(generated: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Measures [T, 3] of one length, and how many frames the true mouth is late in this clip, by its gap."""
    length = min(len(generated), len(true))
    generated, true = generated[:length], true[:length]
    return generated, true, best_lag(generated[:, 0], true[:, 0], MAX_OFFSET)[0]


def shipped_face(model: LinearFaceModel) -> np.ndarray:
    """The neutral shape [478, 3] of the shipped portrait."""
    return fit_photo(model, track_image(read_image(sample("portrait")).rgb).landmarks).neutral


def speech_files(job: TargetJob, *, language: str | None = None, split: str | None = None) -> list[SpeechFile]:
    """The data folder's files of speech, of a language and split or all, in the manifest's order."""
    rows = manifest_rows(job.folder, kind="speech")
    return [
        SpeechFile(slug=row["slug"], language=row.get("language", ""), path=job.folder / row["file"])
        for row in rows
        if language in (None, row.get("language", "")) and split in (None, row["split"])
    ]
