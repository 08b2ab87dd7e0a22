"""An avatar of `geneface`, its clip as it was prepared for the fit, and which of its frames trained nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.held_out import Fitted
from talkingface import api
from talkingface.core.cache import cache_folder, content_hash
from talkingface.core.system import System
from talkingface.core.types import Avatar
from talkingface.face.morphable import load_mesh478
from talkingface.person.clip import ClipSettings, PersonClip, last_part, prepare_person
from talkingface.systems.geneface import SPEC
from talkingface.systems.geneface.config import read_config
from talkingface.systems.geneface.manner import Manner, manner_from_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Frames `train` bool [T] of the clip were learned from; those from `first` on are held out."""

    system: System
    avatar: Avatar
    manner: Manner
    clip: PersonClip
    train: np.ndarray
    first: int


def open_person(fitted: Fitted) -> Person:
    """The avatar of `geneface` and its clip, whose frames are stored once in the user's cache."""
    avatar = fitted.avatars[SPEC.name]
    fit = read_config(avatar.card["config"]).fit
    folder = cache_folder("fits", f"bench-geneface-{content_hash(fitted.clip)[:16]}")
    settings = ClipSettings(least_s=fit.least_s, one_shot=fit.one_shot, free_views=True)
    clip = prepare_person(fitted.clip, folder, load_mesh478(), settings)
    train, test = last_part(len(clip), fit.held_out_share, fit.held_out_most_s)
    return Person(
        system=api.load(SPEC.name),
        avatar=avatar,
        manner=manner_from_tensors(avatar.tensors, clip.size),
        clip=clip,
        train=train & (clip.track.confidence > 0),
        first=int(test.argmax()),
    )
