"""The avatar that is shipped: speaker 1 of the GRID corpus."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from talkingface.clips.manifest import list_clips
from talkingface.core.device import pick_device
from talkingface.core.weights import find_weights, load_weights, save_avatar
from talkingface.person.joined import join_clips
from talkingface.person.splats.config import SMALL_FACE
from talkingface.systems.geneface.config import FitConfig, preset, read_config
from talkingface.systems.geneface.fit.pipeline import fit_avatar
from talkingface.systems.geneface.fit.stages import FitJob
from talkingface.training.pipeline import FREE, OWN_ORIGIN, make_card
from talkingface.training.prepare import something

PERSON, NAME, GENERAL = "grid_s1", "geneface.grid-s1", "geneface.general"


def make_grid_avatar(data: Path, folder: Path) -> Path:
    """`geneface.grid-s1` from that speaker's CC BY sentences and `geneface.general`, which must be there (in `folder`,
    or shipped); returns its folder. Nothing of another licence is in it.

    Raises InputError for data without these clips, WeightsError without the general weights.
    """
    clips = [clip for clip in list_clips(data) if clip.identity == PERSON and clip.split == "train"]
    something(clips, f"train clip of {PERSON}", data)
    work = folder / "grid-s1"
    film = work / "film.mp4"
    join_clips(clips, film)
    made_now = folder / "weights" / GENERAL
    weights = load_weights(find_weights(made_now if made_now.is_dir() else GENERAL))
    config = replace(
        preset("compact"),
        speech=read_config(weights.card["config"]).speech,
        fit=FitConfig(one_shot=False),
        splats=SMALL_FACE,
    )
    job = FitJob(
        path=film, folder=work / "work", config=config, general=weights.tensors, weights=weights, device=pick_device()
    )
    avatar = fit_avatar(job)
    card = make_card(
        NAME,
        {},
        terms=FREE,
        data=f"{len(clips)} sentences of speaker 1 of the GRID audiovisual sentence corpus",
        held_back="the end of them, on which the figures under held_out were measured",
        origin=f"{OWN_ORIGIN}; no outside networks but those that {config.speech.encoder} began with",
        notes=[],
    )
    target = folder / "weights" / NAME
    save_avatar(target, replace(avatar, card={**avatar.card, **card}, files={}))
    return target
