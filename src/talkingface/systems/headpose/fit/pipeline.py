"""`fit`: from a user's clip to an avatar, in stages that are kept and go on where they were stopped."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from talkingface.core.cache import content_hash, write_atomic
from talkingface.core.config import to_dict
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.types import Avatar, Controls
from talkingface.core.work_folder import WorkFolder
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.nn.state import arrays, named
from talkingface.systems.headpose import SPEC
from talkingface.systems.headpose.compositing.playback import Clip
from talkingface.systems.headpose.config import HeadposeConfig
from talkingface.systems.headpose.fit.held_out import judge, own_motion
from talkingface.systems.headpose.fit.preprocess import Material, prepare, splits
from talkingface.systems.headpose.fit.stages import FitJob, make_trainer, start_of, stored_config
from talkingface.systems.headpose.motion.from_audio import FPS, Listener
from talkingface.systems.headpose.motion.recipes import AudioRecipe, clip_targets
from talkingface.systems.headpose.official.face.reconstruction import stored_net
from talkingface.systems.headpose.official.face.render_model import BFM, basel_model, needed
from talkingface.systems.headpose.variants import kind_of
from talkingface.video.stored import StoredFrames, store_frames

AUDIO_LR = 2e-4
"""Gentle and short: a few seconds of one person are soon known by heart, and then everything else is heard worse."""
MOST_GAIN = 1.4
LIVELIER = 1.1
"""Speech that was learned from moves the mouth more than speech that was not."""
POINT_STEPS = 16
"""Landmarks are stored in sixteenths of a pixel."""


def fit_avatar(job: FitJob) -> Avatar:
    """Run every stage. Raises InputError, FaceError, SpeechError for an unfit clip, UsageError for a folder that holds
    other work or that another run works in, and WeightsError for a face model that was not imported; KeyboardInterrupt
    passes, with all work kept."""
    _check_imported(job)
    with WorkFolder(job.folder, f"the avatar of {job.path.name} in {job.folder}"):
        _check_folder(job)
        return _fit(job)


def _fit(job: FitJob) -> Avatar:
    model = load_mesh478()
    fit = job.config.fit
    material = _prepare(job, model)
    train, test = splits(len(material), fit.test_first, fit.test_frames, fit.train_frames)
    audio, gain = _fit_audio(job, material, model, train, test)
    kind = kind_of(job.config)
    tensors = kind.fit(job, material, model, train, test)
    figures = _judge(job, material, model, train, test, audio, tensors, gain)
    shown, frames = _shown(job, material)
    tensors |= clip_tensors(material) | named("audio", audio) | {"gain": np.array(gain, np.float32)}
    tensors = {name: value[:shown] if name.startswith("clip.") else value for name, value in tensors.items()}
    name = "" if job.weights is None else str(job.weights.card.get("name", ""))
    card = {
        "system": SPEC.name,
        "kind": "clip",
        "weights": name if name in SPEC.weights else "",  # an avatar stands alone: others need not be there later
        "config": to_dict(job.config),
        "size": list(material.size),
        "held_out": figures,
        "learned_from": f"{int(train.sum())} frames; begun from {name or 'nothing'}; {_outside(job)}",
        "notes": material.notes,
    }
    if need := needed(job.config):
        card["needs"] = need
    if job.weights is not None:  # what was learned from them may be used as they may
        card |= {key: job.weights.card[key] for key in ("licence", "allows") if key in job.weights.card}
    files = {"clip": frames, "held_out": job.folder / "held_out.mp4"}
    return Avatar(system=SPEC.name, card=card, tensors=tensors, files=files)


def _check_imported(job: FitJob) -> None:
    """Raise WeightsError now if the config asks for models that were not imported."""
    if job.config.face_model == BFM:
        basel_model(job.weights)
    if job.config.reconstruction == "learned":
        stored_net(job.weights)


def _prepare(job: FitJob, model: LinearFaceModel) -> Material:
    """The clip made ready; one that is refused leaves no work behind that another clip would stumble over."""
    try:
        return prepare(job.path, job.folder, model, job.config.fit, job.face_index, job.size)
    except TalkingFaceError:
        if not (job.folder / "audio").exists():
            shutil.rmtree(job.folder, ignore_errors=True)
        raise


def _outside(job: FitJob) -> str:
    """What of other people's making an avatar was begun with, for its card."""
    parts = {} if job.weights is None else job.weights.card.get("parts", {})
    return f"imported: {', '.join(sorted(parts))}" if parts else "own judge, no outside networks"


def _check_folder(job: FitJob) -> None:
    """Refuse to go on with work that was begun for something else."""
    facts = {
        "clip": content_hash(job.path),
        "config": to_dict(job.config),
        "weights": "" if job.weights is None else job.weights.card.get("sha256", ""),
        "face_index": job.face_index,
        "size": job.size,
    }
    note = job.folder / "fit.json"
    if note.is_file():
        found = json.loads(note.read_text(encoding="utf-8"))
        found["config"] = stored_config(HeadposeConfig, found.get("config"))
        if found != json.loads(json.dumps(facts)):
            raise UsageError(
                f"{job.folder} holds the unfinished fit of another clip or with other settings; "
                "name another output, or delete that folder to begin anew"
            )
        return
    with write_atomic(note, "w") as file:
        json.dump(facts, file)


def _fit_audio(
    job: FitJob, material: Material, model: LinearFaceModel, train: np.ndarray, test: np.ndarray
) -> tuple[dict[str, np.ndarray], float]:
    """The person's ATC-net, and the gain that gives the mouth its true range on the frames it learned from."""
    clip = material.speaking(model, train.astype(np.float32))
    start = start_of(job, "audio")
    recipe = AudioRecipe(
        [clip],
        model,
        job.config.audio,
        late_s={clip.slug: material.late_s},
        validation=[material.speaking(model, test.astype(np.float32))],
        start=start,
        lr=AUDIO_LR if start else 2e-3,
        keep_ears=start is not None,
        seed=job.config.fit.seed,
    )
    steps = job.config.fit.audio_steps
    trainer = make_trainer(job, recipe, "audio", steps, ema_decay=0.99, evaluate_every=max(1, steps // 4))
    trainer.run()
    state = arrays(trainer.averaged()["audio"])
    spoken, _ = Listener(job.config.audio, state, job.device).listen(material.samples)
    rows = min(len(spoken), len(clip))
    counts = clip.weight[:rows] > 0
    num = job.config.audio.expression
    matrix = recipe.measure_rows
    said, true = spoken[:rows][counts, :num] @ matrix.T, clip_targets(clip, num)[:rows][counts, -9:-6]
    gain = LIVELIER * true[:, 0].std() / max(float(said[:, 0].std()), 1e-6)
    return state, float(np.clip(gain, 1.0, MOST_GAIN))


def _judge(
    job: FitJob, material: Material, model: LinearFaceModel, train: np.ndarray, test: np.ndarray,
    audio: Mapping[str, np.ndarray], tensors: Mapping[str, np.ndarray], gain: float,
) -> dict[str, float]:  # fmt: skip
    """Held-out figures: nothing of the test frames is shown but their head pose."""
    note = job.folder / "held_out.json"
    if note.is_file() and (job.folder / "held_out.mp4").is_file():
        return json.loads(note.read_text(encoding="utf-8"))
    frames = StoredFrames(material.frames, material.size)
    head = material.head(train)
    clip = Clip(
        frames=frames,
        size=material.size,
        points=material.track.landmarks,
        expression=material.fit.expression,
        head=head,
    )
    drawer = kind_of(job.config).load(job.config, tensors, clip, model, job.device, job.weights)(
        Controls(pose="generated", size="native")
    )
    spoken, _ = Listener(job.config.audio, audio, job.device).listen(material.samples)
    numbers = np.flatnonzero(test)
    numbers = numbers[numbers < len(spoken)]
    first, last = int(numbers[0]), int(numbers[-1]) + 1
    motion = own_motion(gain * spoken[first:last], head.rows[first:last])
    samples = material.samples[16000 * first // FPS : 16000 * last // FPS]
    made, video = drawer.frames(iter([motion])), job.folder / "held_out.mp4"
    figures = judge(made, frames, material.track, first, samples, video, SPEC.name)
    with write_atomic(note, "w") as file:
        json.dump(figures, file, indent=2)
    return figures


def _shown(job: FitJob, material: Material) -> tuple[int, Path]:
    """How many leading frames the avatar keeps, and the video of just these."""
    count = min(job.config.fit.shown_frames, len(material))
    if count == len(material):
        return count, material.frames
    stored = StoredFrames(material.frames, material.size)
    path = job.folder / "shown.mp4"
    store_frames(path, (stored[number] for number in range(count)), material.size)
    return count, path


def clip_tensors(material: Material) -> dict[str, np.ndarray]:
    """What an avatar keeps of its clip's frames, beside the pictures."""
    tensors = {
        "points": np.round(material.track.landmarks * POINT_STEPS).astype(np.int16),
        "seen": (material.track.confidence > 0).astype(np.uint8),
        "rotation": material.fit.rotation.astype(np.float32),
        "scale": material.fit.scale.astype(np.float32),
        "translation": material.fit.translation.astype(np.float32),
        "expression": material.fit.expression.astype(np.float16),
    }
    return named("clip", tensors)
