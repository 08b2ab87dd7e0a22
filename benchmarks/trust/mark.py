"""The mark: what it survives, how often it is seen where there is none, what it costs and changes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.data import mouth_box
from benchmarks.targets import Finding, Row, TargetJob, at_least, at_most
from benchmarks.trust.attacks import ATTACKS
from talkingface import api
from talkingface.clips.manifest import list_clips
from talkingface.core.errors import TalkingFaceError
from talkingface.core.progress import report_progress
from talkingface.core.samples import sample
from talkingface.face.track import track_image
from talkingface.trust.mark import PUBLIC_KEY, Marker, find_mark, mark_payload
from talkingface.trust.mark.find import read_stretches, search
from talkingface.video.read import probe, read_frames
from talkingface.video.write import VideoWriter

PSNR_DB, FRAME_MS, SLOWER, FLAT_BYTES = 45.0, 0.8, 0.03, 0.10
MINUTE_S, SEARCH_S = 60.0, 5.0
CLEAN_CLIPS, KEYS_A_CLIP = 200, 6
SECONDS = 4.2
_PAYLOAD = mark_payload("bench")
_COST_PX, _COST_FRAMES, _RUNS = 512, 220, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A video to mark: a face and a voice of the development data, and options of `animate`."""

    name: str
    face: str
    speech: str
    options: dict[str, Any]
    is_flat: bool = False


def _subject(name: str, face: str, speech: str, **options: Any) -> Subject:
    is_flat = "background" in options
    return Subject(name=name, face=face, speech=f"speech/{speech}", options=options, is_flat=is_flat)


SUBJECTS = (
    _subject("painting, 512", "portrait/painting_pearl_earring.jpg", "lj_0001.flac", size=512),
    _subject("oil, 512", "portrait/art_man_impasto.png", "de_german1.wav", size=512),
    _subject("painting, 960", "portrait/painting_lady_black.jpg", "fr_french1.wav", size=960),
    _subject("photo, 512", "portrait/photo_woman_dark_hair.png", "it_italian1.wav", size=512),
    _subject("photo on grey, 512", "portrait/senator_amy_klobuchar.jpg", "lj_0003.flac", size=512, background="gray"),
    _subject("photo on green, 640", "portrait/photo_man_white.png", "en_radio31.wav", size=640, background="green"),
    _subject("drawing, 512", "portrait/anime_doctor.png", "ja_japan1.wav", size=512),
    _subject("photo, 256", "portrait/senator_ted_cruz.jpg", "lj_0014.flac", size=256),
    _subject("dubbed, 256", "video/glasses_man.mp4", "lj_0027.flac"),
    _subject("dubbed, 512", "video/hdtf_aoc.mp4", "es_spanish1.wav"),
    _subject("dubbed, 1280x720", "video/person31.mp4", "ko_korean1.wav"),
    _subject("dubbed, 720x1280", "video/garden_woman.mp4", "de_german2.wav", size=1280),
)  # fmt: skip


def mark(job: TargetJob) -> Finding:
    """Attacks on twelve videos, clean clips under several keys, picture, bytes, time."""
    details: dict[str, Any] = {"videos": {}, "attacks": {attack.name: {} for attack in ATTACKS}}
    with tempfile.TemporaryDirectory(prefix="talkingface-bench-") as name:
        folder = Path(name)
        for number, subject in enumerate(SUBJECTS[: job.limit]):
            report_progress("attacks", number, len(SUBJECTS[: job.limit]))
            _measure(subject, job.folder, folder, details)
        rows = [*_survival(details), *_pictures(details), *_clean(job, details), *_time(folder, job, details)]
    return Finding(rows=rows, details=details)


def _measure(subject: Subject, data: Path, folder: Path, details: dict[str, Any]) -> None:
    plain, fps = drawn(subject, data)
    marker = Marker((plain.shape[2], plain.shape[1]), fps, _PAYLOAD)
    marked = np.stack([marker.apply(rgb) for rgb in plain])
    files = [folder / "plain.mp4", folder / "marked.mp4"]
    for path, frames in zip(files, (plain, marked), strict=True):
        with VideoWriter(path, None, fps) as writer:
            for rgb in frames:
                writer.write(rgb)
    sizes = [path.stat().st_size for path in files]
    rows, columns = mouth_box(track_image(plain[0]).landmarks, plain[0].shape)
    details["videos"][subject.name] = {
        "size": list(plain.shape[2:0:-1]),
        "seconds": len(plain) / float(fps),
        "psnr_db": psnr(plain, marked),
        "mouth_psnr_db": psnr(plain[:, rows, columns], marked[:, rows, columns]),
        "more_bytes": sizes[1] / sizes[0] - 1,
        "is_flat": subject.is_flat,
    }
    result = [frame.rgb for frame in read_frames(files[1])]
    for attack in ATTACKS:
        attack.make(result, fps, folder / "attacked.mkv")
        found = find_mark(folder / "attacked.mkv", progress=lambda *_: None)
        details["attacks"][attack.name][subject.name] = {
            "bits_wrong": None if found.payload is None else (found.payload ^ _PAYLOAD).bit_count(),
            "score": round(found.score, 2),
        }


def drawn(subject: Subject, data: Path) -> tuple[np.ndarray, Fraction]:
    """The frames of a subject without a mark, uint8 [T, H, W, 3], and their rate."""
    made = api.animate(data / subject.face, data / subject.speech, no_mark="it is measured", **subject.options)
    count, got = int(SECONDS * made.fps), []
    for piece in made:
        got.append(piece.rgb)
        if sum(map(len, got)) >= count:
            break
    return np.concatenate(got)[:count], Fraction(made.fps).limit_denominator(1001)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal to noise ratio of all frames together, in dB."""
    errors = [float(np.mean((a.astype(np.float32) - b) ** 2)) for a, b in zip(one, other, strict=True)]
    return float(10 * np.log10(255**2 / np.mean(errors)))


def _survival(details: dict[str, Any]) -> Iterator[Row]:
    count = len(details["videos"])
    for attack, seen in details["attacks"].items():
        lost = [one for one in seen.values() if one["bits_wrong"] != 0]
        yield at_most(f"{attack}: of {count} videos, read with a wrong bit or not at all", len(lost), 0)
    wrong = [one["bits_wrong"] for seen in details["attacks"].values() for one in seen.values()]
    yield at_most("wrong bits in marks that were read", sum(bits or 0 for bits in wrong), 0)


def _pictures(details: dict[str, Any]) -> Iterator[Row]:
    videos = details["videos"].values()
    yield at_least("PSNR, lowest video, dB", min(one["psnr_db"] for one in videos), PSNR_DB)
    yield at_least("PSNR of the mouth box, lowest video, dB", min(one["mouth_psnr_db"] for one in videos), PSNR_DB)
    flat = [one["more_bytes"] for one in videos if one["is_flat"]]
    if flat:
        yield at_most("more bytes, flat background", max(flat), FLAT_BYTES)
    yield Row(name="more bytes, all", value=median(one["more_bytes"] for one in videos))


def _clean(job: TargetJob, details: dict[str, Any]) -> Iterator[Row]:
    """Clips without a mark, under the public and other keys: what is read of a clip serves all of them."""
    clips = list_clips(job.folder)
    wanted = min(len(clips), CLEAN_CLIPS if job.limit is None else job.limit)
    chosen = [clips[int(k * len(clips) / wanted)] for k in range(wanted)]
    tries, wrong, highest = 0, [], 0.0
    for number, clip in enumerate(chosen):
        report_progress("clean clips", number, len(chosen))
        try:
            stretches = list(read_stretches(clip.path))
        except TalkingFaceError:
            continue
        keys = [PUBLIC_KEY, *(f"{clip.slug} {k}".encode() for k in range(1, KEYS_A_CLIP))]
        for key in keys:
            found = search(stretches, key, lambda *_: None)
            tries, highest = tries + 1, max(highest, found.score)
            wrong += [clip.slug] if found.state == "found" else []
    details["clean"] = {"tries": tries, "called_marked": wrong, "highest_score": highest}
    yield at_most(f"clean clips called marked, of {tries} tries", len(wrong), 0)
    # no event in n tries: the rate is below 3 / n with 95 % confidence
    yield Row(name="rate of that, 95 % bound", value=(3 + 2 * len(wrong)) / max(tries, 1))


def _time(folder: Path, job: TargetJob, details: dict[str, Any]) -> Iterator[Row]:
    frames = np.random.default_rng(0).integers(0, 256, (4, _COST_PX, _COST_PX, 3), np.uint8)
    Marker((_COST_PX, _COST_PX), 25, _PAYLOAD).apply(frames[0])  # loads what is compiled
    means = []
    for _ in range(_RUNS):
        started = time.perf_counter()
        marker = Marker((_COST_PX, _COST_PX), 25, _PAYLOAD)
        for k in range(_COST_FRAMES):
            marker.apply(frames[k % 4])
        means.append(1000 * (time.perf_counter() - started) / _COST_FRAMES)
    yield at_most("time a frame at 512, pattern building included, ms", median(means), FRAME_MS)
    ratios = []
    for number in range(_RUNS):
        report_progress("whole commands", number, _RUNS)
        spent = {}
        for reason in (None, "for comparison") if number % 2 else ("for comparison", None):
            made = api.animate(sample("portrait"), sample("speech"), size=512, weights=job.weights, no_mark=reason)
            started = os.times()
            made.save(folder / "out.mp4")
            now = os.times()
            spent[reason] = now.user + now.system - started.user - started.system
        ratios.append(spent[None] / spent["for comparison"] - 1)
    details["slower"] = ratios
    yield at_most("more processor time, whole job with the mark", median(ratios), SLOWER)
    minute = next((c.path for c in list_clips(job.folder) if _is_minute(c.path)), None)
    seconds = None
    if minute is not None:
        started = time.perf_counter()
        found = find_mark(minute, progress=lambda *_: None)
        seconds = time.perf_counter() - started
        details["minute"] = {"clip": minute.name, "state": found.state}
    yield at_most("looking through a minute at 720p without a mark, s", seconds, SEARCH_S)


def _is_minute(path: Path) -> bool:
    try:
        info = probe(path)
    except TalkingFaceError:
        return False
    return min(info.size) == 720 and info.duration_s >= MINUTE_S
