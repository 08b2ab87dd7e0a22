"""Motion from a voice: the mouth by the general networks and the adapter, head and eyes in the person's manner."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from talkingface.core.types import Controls, Motion
from talkingface.face.mesh478_space import MESH478
from talkingface.systems.geneface.config import GenefaceOptions, SpeechConfig
from talkingface.systems.geneface.manner import Manner
from talkingface.systems.geneface.motion.speech import FPS, PersonSpeech, Spoken


def person_speech(
    general: Mapping[str, np.ndarray], adapter: Mapping[str, np.ndarray], manner: Manner | None, config: SpeechConfig,
    head: str = "own",
) -> PersonSpeech:  # fmt: skip
    """What hears for a person: lids close as theirs do, eyes look about as far, and the head moves as theirs
    (`head` "own") or as the average speaker's ("shared")."""
    if head == "shared":
        adapter = {name: values for name, values in adapter.items() if not name.startswith("head_motion.")}
    if manner is None:
        return PersonSpeech(general, adapter, config)
    own = {"head_motion.blink": manner.blink, "head_motion.gaze": manner.gaze}
    return PersonSpeech({**general, **own}, adapter, config)


def speech_motion(
    speech: PersonSpeech, manner: Manner | None, pieces: Iterable[np.ndarray], controls: Controls,
    options: GenefaceOptions,
) -> Iterator[Motion]:  # fmt: skip
    """Motion from mono float32 speech at 16 kHz in pieces of any length, which do not change it.

    `manner` None: nobody in particular, who blinks and moves as the average speaker does.
    """
    rate = controls.blink * (1.0 if manner is None or options.blinks == "none" else manner.blink_rate)
    for spoken in speech.spoken(pieces, controls.seed, controls.delay, blink=rate):
        gaze = spoken.head.gaze
        yield Motion(
            space=MESH478.name,
            space_version=MESH478.version,
            expression=(spoken.expression * np.float32(controls.expression_scale)).astype(np.float32),
            pose=_pose(spoken, manner, controls),
            blink=_lids(spoken, manner, controls, options),
            gaze=None if gaze is None else gaze * np.float32(controls.gaze),
            fps=FPS,
            start=spoken.start,
        )


def _frames(spoken: Spoken) -> np.ndarray:
    return spoken.start + np.arange(len(spoken.expression))


def _pose(spoken: Spoken, manner: Manner | None, controls: Controls) -> np.ndarray:
    if controls.pose == "source" and manner is not None:
        return manner.pose_at(_frames(spoken))
    if controls.pose != "generated":
        return np.zeros_like(spoken.head.pose)
    pose = spoken.head.pose if manner is None else manner.within_reach(spoken.head.pose)
    return pose * np.float32(controls.pose_scale)


def _lids(spoken: Spoken, manner: Manner | None, controls: Controls, options: GenefaceOptions) -> np.ndarray:
    if options.blinks == "none" or controls.blink == 0:
        return np.zeros_like(spoken.head.blink)
    if options.blinks == "clip" and manner is not None:
        return manner.closure_at(_frames(spoken))
    return spoken.head.blink
