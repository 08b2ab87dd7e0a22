"""`fit`: from a user's clip to an avatar, in stages that are kept and go on where they were stopped."""

from __future__ import annotations

import json

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.core.cache import write_atomic
from talkingface.core.config import to_dict
from talkingface.core.types import Avatar
from talkingface.core.work_folder import WorkFolder
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.nn.state import named
from talkingface.person.clip import FPS, ClipSettings, PersonClip, last_part, prepare_person
from talkingface.person.stages import keep_facts, refused_leaves_nothing
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.config import read_config
from talkingface.systems.geneface.fit.evaluate import Judged, judge
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.systems.geneface.manner import manner_of, manner_tensors
from talkingface.systems.geneface.motion.adapt import Adapter, fit_adapter
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.systems.geneface.variants import fit_renderer


def fit_avatar(job: FitJob) -> Avatar:
    """Run every stage. Raises InputError, FaceError, SpeechError for an unfit clip, and UsageError for a folder that
    holds other work or that another run works in; KeyboardInterrupt passes, with all work kept."""
    with WorkFolder(job.folder, f"the avatar of {job.path.name} in {job.folder}"):
        keep_facts(job, read_config)
        return _fit(job)


def _fit(job: FitJob) -> Avatar:
    model, fit = load_mesh478(), job.config.fit
    clip = _prepare(job, model)
    train, test = last_part(len(clip), fit.held_out_share, fit.held_out_most_s)
    train &= clip.track.confidence > 0
    adapter = _adapter(job, clip, train, test)
    drawn = fit_renderer(job, clip, model, train, test)
    manner = manner_of(clip, train)
    judged = judge(job, clip, train, test, drawn, adapter, manner)
    tensors = drawn | named("adapter", adapter.tensors) | manner_tensors(manner)
    return Avatar(
        system=SPEC.name,
        card=_card(job, clip, train, adapter, judged),
        tensors=tensors,
        files={"held_out": job.folder / "held_out.mp4"},
    )


def _prepare(job: FitJob, model: LinearFaceModel) -> PersonClip:
    fit = job.config.fit
    settings = ClipSettings(
        least_s=fit.least_s, one_shot=fit.one_shot, free_views=True, still_camera=True, face_index=job.face_index,
        size=job.size,
    )  # fmt: skip
    with refused_leaves_nothing(job.folder, "adapter"):
        return prepare_person(job.path, job.folder, model, settings)


def _adapter(job: FitJob, clip: PersonClip, train: np.ndarray, test: np.ndarray) -> Adapter:
    """The adapter to the person, or the one that is kept."""
    folder = job.folder / "adapter"
    tensors, note = folder / "adapter.npz", folder / "adapter.json"
    if note.is_file():
        said = json.loads(note.read_text(encoding="utf-8"))
        with np.load(tensors, allow_pickle=False) as stored:
            return Adapter(kind=said["kind"], tensors=dict(stored), figures=said["figures"])
    folder.mkdir(exist_ok=True)
    general = PersonSpeech(job.general, {}, job.config.speech)
    adapter = fit_adapter(folder, clip, general, train, test, job.seed)
    save_arrays(tensors, **adapter.tensors)
    with write_atomic(note, "w") as file:
        json.dump({"kind": adapter.kind, "figures": adapter.figures}, file)
    return adapter


def _card(job: FitJob, clip: PersonClip, train: np.ndarray, adapter: Adapter, judged: Judged) -> dict[str, object]:
    name = "" if job.weights is None else str(job.weights.card.get("name", ""))
    seconds, notes = len(clip) / FPS, list(clip.notes)
    if seconds < job.config.fit.good_s:
        notes.append(
            f"the clip is {seconds:.0f} s long; from {job.config.fit.good_s:g} s to a few minutes give a better avatar"
        )
    card: dict[str, object] = {
        "system": SPEC.name,
        "kind": "clip",
        "config": to_dict(job.config),
        "size": list(clip.size),
        "held_out": judged.spoken,
        "held_out_true_motion": judged.true,
        "adapter": {"kind": adapter.kind, **adapter.figures},
        "learned_from": f"{int(train.sum())} frames; hears by {name or 'nothing'}; no outside networks",
        "notes": [*notes, judged.verdict],
    }
    return card | job.card_of_weights(SPEC)
