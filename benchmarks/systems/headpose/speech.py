"""How well the mouth of an avatar follows its person's own speech, before pictures are drawn: minutes, where fitting a
whole avatar takes an hour (`avatar`)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.systems.headpose.avatar import CLIPS, GAP_SLACK, held_out_fit
from benchmarks.targets import Finding, Row, TargetJob, at_least
from talkingface import api
from talkingface.clips.manifest import list_clips
from talkingface.core.cache import cache_folder, content_hash
from talkingface.core.errors import InputError
from talkingface.core.motion import concatenate
from talkingface.core.system import System
from talkingface.core.types import Controls
from talkingface.face.morphable import load_mesh478
from talkingface.metrics.mouth import MEASURES, MouthAgreement, compare_mouths, mouth_measures
from talkingface.person.clip import ClipSettings, prepare_person, splits
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.fit.pipeline import fit_audio
from talkingface.systems.headpose.fit.stages import FitJob
from talkingface.systems.headpose.motion.from_audio import AudioToMotion


def avatar_speech(job: TargetJob) -> Finding:
    """Fit what turns speech into motion to the first 300 frames of each clip and compare the mouth with the true one in
    100 frames that no training has seen; beside it `portrait`'s."""
    found = {clip.slug: clip for clip in list_clips(job.folder)}
    rows: list[Row] = []
    for slug in CLIPS[: job.limit]:
        if slug not in found:
            raise InputError(f"{job.folder} has no clip {slug}")
        rows += _rows(slug, *_agreement(found[slug].path, *held_out_fit(found[slug], job)))
    return Finding(rows=rows)


def _rows(slug: str, own: MouthAgreement, portrait: MouthAgreement) -> Iterator[Row]:
    for k, name in enumerate(MEASURES):
        yield at_least(f"{slug}: {name} correlation", own.correlation[k], round(portrait.correlation[k] - GAP_SLACK, 3))
    for name, value in zip(MEASURES, own.ratios, strict=True):
        yield Row(name=f"{slug}: movement of {name} over the true one", value=value)


def _agreement(path: Path, system: System, config: HeadposeConfig) -> tuple[MouthAgreement, MouthAgreement]:
    """The mouth of `headpose`, and that of `portrait`, beside the true one."""
    digest = "fresh" if system.weights is None else str(system.weights.card["sha256"])[:8]
    folder = cache_folder("fits", f"bench-speech-{content_hash(path)[:16]}-{digest}")
    model, fit = load_mesh478(), config.fit
    clip = prepare_person(path, folder, model, ClipSettings(least_s=fit.least_s, one_shot=fit.one_shot))
    train, test = splits(len(clip), fit.test_first, fit.test_frames, fit.train_frames)
    fitted = FitJob(path=path, folder=folder, config=config, weights=system.weights, device=system.device)
    state, gain = fit_audio(fitted, clip, model, train, test)
    expression, _ = AudioToMotion(config.audio, state).predict(clip.samples)
    spoken = concatenate(api.load("portrait").motion_from_audio(None, iter([clip.samples]), Controls(pose="still")))

    def judged(expression: np.ndarray) -> MouthAgreement:
        count = min(len(expression), len(clip))  # the sound may end before the pictures
        moved = clip.fit.neutral + model.displacement(expression[:count])
        shown = test[:count]
        return compare_mouths(mouth_measures(moved)[shown], mouth_measures(clip.track.landmarks[:count])[shown])

    return judged(gain * expression), judged(spoken.expression)
