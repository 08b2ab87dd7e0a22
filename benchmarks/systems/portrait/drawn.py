"""How far lips move in finished pictures over how far the motion asked them to: gap and width, portrait by portrait.

What is asked is the motion's own displacement on the resting face, before a renderer limits or corrects it; what is
drawn is tracked in the pictures. So a face whose lips the tracker measures too small shows as drawn too little, and a
correction in `fit` is seen to work.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import portraits, write_voice
from benchmarks.targets import Finding, Row, TargetJob, between
from talkingface import api
from talkingface.core.progress import report_progress
from talkingface.core.types import Avatar, Motion, Photo
from talkingface.face.track import track_frames
from talkingface.metrics.mouth import LOWER_LIP, UPPER_LIP, mouth_measures
from talkingface.photo.rig import load_rig
from talkingface.video.image import read_image

SPEECH_S, SIZE_PX = 6.0, 512
RATIO = (0.95, 1.05)
LEAST_GAP = 0.02
"""Deviation of the tracked gap in speech, in eye distances, below which lips hardly move."""


def drawn(job: TargetJob) -> Finding:
    """Portraits speak for six seconds at 512 pixels, and the pictures are tracked again.

    Pictures are tracked as drawn, before a video codec; `job.limit` portraits are spread over the folder.
    """
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as folder:
        voice = Path(folder) / "speech.wav"
        write_voice(job.folder, SPEECH_S, voice)
        motion = api.motion(voice, weights=job.weights)
    faces = portraits(job.folder, job.limit)
    scores = []
    for number, face in enumerate(faces):
        report_progress("portraits", number, len(faces))
        scores.append({"portrait": face.stem, **score(read_image(face), motion, job.weights)})
    return Finding(rows=rows(scores), details={"portraits": scores})


def score(photo: Photo, motion: Motion, weights: str | None) -> dict[str, Any]:
    """Deviations of gap and width, asked and drawn, and the slope of the drawn gap over the asked one."""
    avatar = api.fit(photo, size=SIZE_PX, weights=weights)
    pictures = (rgb for piece in api.render(avatar, motion, no_mark="measured").frames() for rgb in piece.rgb)
    track = track_frames((rgb, k / motion.fps) for k, rgb in enumerate(pictures))
    seen = track.confidence > 0
    return compare(asked_measures(avatar, motion)[: len(seen)][seen], mouth_measures(track.landmarks)[seen])


def asked_measures(avatar: Avatar, motion: Motion) -> np.ndarray:
    """Mouth measures [T, 3] of the motion laid on the avatar's resting face, without any limit.

    Lips that would be pressed into each other are closed: the gap of such frames is 0.
    """
    rig = load_rig(avatar.tensors)
    points = rig.resting + np.stack([rig.model.displacement(row) for row in motion.expression])
    measures = mouth_measures(points)
    measures[(points[:, LOWER_LIP, 1] - points[:, UPPER_LIP, 1]).mean(1) < 0, 0] = 0
    return measures


def compare(asked: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Of measures [T, 3] of the same frames. The slope leaves the tracker's trembling out, which deviations include."""
    wanted, reached = asked.std(0), found.std(0)
    ratios = reached / np.maximum(wanted, 1e-9)
    centred = asked[:, 0] - asked[:, 0].mean()
    slope = float(centred @ found[:, 0]) / max(float(centred @ centred), 1e-12)
    values = {
        "gap_asked": wanted[0], "gap_drawn": reached[0], "gap_ratio": ratios[0],
        "width_asked": wanted[1], "width_drawn": reached[1], "width_ratio": ratios[1], "gap_slope": slope,
    }  # fmt: skip
    return {name: round(float(value), 4) for name, value in values.items()}


def rows(scores: list[dict[str, Any]]) -> list[Row]:
    """Medians and worst portraits, and who hardly moves the lips."""
    found = [Row(name="portraits", value=len(scores))]
    for what in ("gap", "width"):
        ratios = {score["portrait"]: score[f"{what}_ratio"] for score in scores}
        worst = max(ratios, key=lambda name: abs(np.log(max(ratios[name], 1e-9))))
        outside = sum(not RATIO[0] <= ratio <= RATIO[1] for ratio in ratios.values())
        found += [
            between(f"drawn {what} movement over asked, median", float(np.median([*ratios.values()])), *RATIO),
            Row(name=f"the same, worst ({worst})", value=ratios[worst]),
            Row(name=f"portraits whose {what} is outside of {RATIO[0]:g} to {RATIO[1]:g}", value=outside),
        ]
    still = [score["portrait"] for score in scores if score["gap_drawn"] < LEAST_GAP]
    found += [
        Row(name="slope of the drawn gap over the asked one, median", value=_median(scores, "gap_slope")),
        Row(name="deviation of the asked gap, median", value=_median(scores, "gap_asked")),
    ]
    names = f" ({', '.join(still)})" if still else ""
    name = f"portraits whose gap deviates by less than {LEAST_GAP:g}{names}"
    return [*found, Row(name=name, value=len(still), target="0", met=not still)]


def _median(scores: Iterable[dict[str, Any]], name: str) -> float:
    return float(np.median([score[name] for score in scores]))
