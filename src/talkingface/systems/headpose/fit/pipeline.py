"""`fit`: from a user's clip to an avatar, in stages that are kept and go on where they were stopped."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talkingface.core.cache import write_atomic
from talkingface.core.config import to_dict
from talkingface.core.types import Avatar, Controls
from talkingface.core.work_folder import WorkFolder
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.person.clip import FPS, RATE_HZ, ClipSettings, PersonClip, prepare_person, splits
from talkingface.person.held_out import held_out_motion, score_held_out
from talkingface.person.stages import keep_facts, refused_leaves_nothing, run_fit_stage
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.config import read_config
from talkingface.systems.headpose.fit.stages import FitJob, general_audio
from talkingface.systems.headpose.motion.from_audio import AudioToMotion
from talkingface.systems.headpose.motion.recipe import AudioRecipe, clip_targets
from talkingface.systems.headpose.official.face.reconstruction import stored_net
from talkingface.systems.headpose.official.face.render_model import BFM, basel_model, needed_files
from talkingface.systems.headpose.variants import fit_renderer, load_person
from talkingface.video.stored import StoredFrames, store_frames

# For the person's few seconds. At 5e-4 over 400 steps ATC-net's LSTM overfitted 12 s: the lip gap's correlation on
# held-out frames of `person31` fell from 0.54 to 0.23; with 100 steps at 2e-4 it rises to 0.57. What reads tokens rises
# there from 0.54 to 0.63 in 100 steps at 5e-4, and falls to 0.48 in 200.
AUDIO_LR, TOKEN_LR = 2e-4, 5e-4
FRESH_AUDIO_LR = 2e-3
MOST_GAIN = 1.4
# The network moves the mouth more on speech that it was trained on than on other speech; this makes up for it.
UNSEEN_GAIN = 1.1


def fit_avatar(job: FitJob) -> Avatar:
    """Run every stage. Raises InputError, FaceError, SpeechError for an unfit clip, UsageError for a folder that holds
    other work or that another run works in, and WeightsError for a face model that was not imported; KeyboardInterrupt
    passes, with all work kept."""
    _check_imported(job)
    with WorkFolder(job.folder, f"the avatar of {job.path.name} in {job.folder}"):
        keep_facts(job, read_config)
        return _fit(job)


def _fit(job: FitJob) -> Avatar:
    model = load_mesh478()
    fit = job.config.fit
    clip = _prepare(job, model)
    train, test = splits(len(clip), fit.test_first, fit.test_frames, fit.train_frames)
    audio, gain = fit_audio(job, clip, model, train, test)
    tensors = fit_renderer(job, clip, model, train, test)
    figures = _evaluate(job, clip, train, test, audio, tensors, gain)
    shown = min(fit.shown_frames, len(clip))
    tensors |= named("audio", audio) | {"gain": np.array(gain, np.float32)}
    tensors = {name: value[:shown] if name.startswith("clip.") else value for name, value in tensors.items()}
    files = {"held_out": job.folder / "held_out.mp4"}
    if job.config.renderer.kind != "compact":
        files["clip"] = _film(job, clip, shown)
    return Avatar(system=SPEC.name, card=_card(job, clip, train, figures), tensors=tensors, files=files)


def _card(job: FitJob, clip: PersonClip, train: np.ndarray, figures: dict[str, float]) -> dict[str, object]:
    name = "" if job.weights is None else str(job.weights.card.get("name", ""))
    card: dict[str, object] = {
        "system": SPEC.name,
        "kind": "clip",
        "config": to_dict(job.config),
        "size": list(clip.size),
        "held_out": figures,
        "learned_from": f"{int(train.sum())} frames; begun from {name or 'nothing'}; {_outside(job)}",
        "notes": clip.notes,
    }
    if need := needed_files(job.config):
        card["needs"] = need
    return card | job.card_of_weights(SPEC)


def _check_imported(job: FitJob) -> None:
    """Raise WeightsError before any work if the config asks for models that were not imported."""
    if job.config.face_model == BFM:
        basel_model(job.weights)
    if job.config.reconstruction == "learned":
        stored_net(job.weights)


def _prepare(job: FitJob, model: LinearFaceModel) -> PersonClip:
    fit = job.config.fit
    settings = ClipSettings(least_s=fit.least_s, one_shot=fit.one_shot, face_index=job.face_index, size=job.size)
    with refused_leaves_nothing(job.folder, "audio"):
        return prepare_person(job.path, job.folder, model, settings)


def _outside(job: FitJob) -> str:
    """Which networks of others an avatar began with, for its card."""
    parts = {} if job.weights is None else job.weights.card.get("parts", {})
    return f"imported: {', '.join(sorted(parts))}" if parts else "no outside networks"


def fit_audio(
    job: FitJob, clip: PersonClip, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> tuple[dict[str, np.ndarray], float]:
    """The person's network of speech, and the gain that gives the mouth its true range on the training frames."""
    speaking = clip.speaking(model, train.astype(np.float32))
    start = general_audio(job)
    recipe = AudioRecipe(
        [speaking],
        model,
        job.config.audio,
        late_s={speaking.slug: clip.late_s},
        validation=[clip.speaking(model, test.astype(np.float32))],
        start=start,
        lr=FRESH_AUDIO_LR if start is None else TOKEN_LR if job.config.audio.encoder else AUDIO_LR,
        narrow=start is not None,
        seed=job.config.fit.seed,
    )
    steps = job.config.fit.audio_steps
    trained = run_fit_stage(job, recipe, "audio", steps, ema_decay=0.99, evaluate_every=max(1, steps // 4))
    state = arrays(trained.networks["audio"])
    predicted, _ = AudioToMotion(job.config.audio, state, job.device).predict(clip.samples)
    rows = min(len(predicted), len(speaking))
    counts = speaking.weight[:rows] > 0
    num = job.config.audio.expression
    ours = predicted[:rows][counts, :num] @ recipe.measure_rows.T
    true = clip_targets(speaking, num)[:rows][counts, -9:-6]
    gain = UNSEEN_GAIN * true[:, 0].std() / max(float(ours[:, 0].std()), 1e-6)
    return state, float(np.clip(gain, 1.0, MOST_GAIN))


def _evaluate(
    job: FitJob, clip: PersonClip, train: np.ndarray, test: np.ndarray, audio: Mapping[str, np.ndarray],
    tensors: Mapping[str, np.ndarray], gain: float,
) -> dict[str, float]:  # fmt: skip
    """Held-out figures: nothing of the test frames is shown but their head pose."""
    note = job.folder / "held_out.json"
    if note.is_file() and (job.folder / "held_out.mp4").is_file():
        return json.loads(note.read_text(encoding="utf-8"))
    only_learned = {"clip.seen": tensors["clip.seen"] * train}
    person = load_person(job.config, {**tensors, **only_learned}, clip.frames, clip.size, job.device, job.weights)
    predicted, _ = AudioToMotion(job.config.audio, audio, job.device).predict(clip.samples)
    numbers = np.flatnonzero(test)
    numbers = numbers[numbers < len(predicted)]
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    motion = held_out_motion(gain * predicted[first:last], person.head.rows[first:last])
    samples = clip.samples[RATE_HZ * first // FPS : RATE_HZ * last // FPS]
    made = person.renderer(Controls(pose="generated", size="native")).frames(iter([motion]))
    frames, video = StoredFrames(clip.frames, clip.size), job.folder / "held_out.mp4"
    figures = score_held_out({"made": made}, frames, clip.track, first, samples, video, SPEC.name)["made"]
    with write_atomic(note, "w") as file:
        json.dump(figures, file, indent=2)
    return figures


def _film(job: FitJob, clip: PersonClip, count: int) -> Path:
    """The video of the clip's leading `count` frames."""
    if count == len(clip):
        return clip.frames
    stored = StoredFrames(clip.frames, clip.size)
    path = job.folder / "shown.mp4"
    store_frames(path, (stored[number] for number in range(count)), clip.size)
    return path
