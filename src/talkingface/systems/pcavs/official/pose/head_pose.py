"""Head pose codes from angles, and from a voice alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

import numpy as np

from talkingface.audio.mel import HOP, LevelTracker, MelStream, loudest_bands
from talkingface.core.errors import UsageError
from talkingface.core.types import Controls
from talkingface.systems.pcavs.alignment.crop import EYES
from talkingface.systems.pcavs.data.mel import speech_gain
from talkingface.systems.pcavs.data.timing import COLUMNS_PER_FRAME
from talkingface.systems.pcavs.official.pose.pose_map import PoseMap

UNIT = 1.42 * EYES
"""Usual distance of the outer eye corners in halves of the square's side: the unit of shifts in head motion."""
QUIET_DB, SPEAKING_DB = -22.0, -14.0
"""Loudness of the loudest bands below the voice's level at which it surely pauses, and surely speaks."""
_PIECE = 4096


class HeadPose:
    """`tensors` may hold a learned head motion under `head_motion.`; without map or motion heads stay at rest."""

    def __init__(self, pose_map: PoseMap | None, tensors: Mapping[str, np.ndarray], num_codes: int) -> None:
        self._map, self._tensors, self._num_codes = pose_map, tensors, num_codes

    def from_audio(self, samples: np.ndarray, count: int, controls: Controls) -> np.ndarray:
        """Pose codes float32 [count, P] about the rest for a voice [N] at 16 kHz: generated motion, blinks, or rest."""
        from talkingface.face.head_motion import HeadMotion
        from talkingface.nn.state import part

        motion = part(self._tensors, "head_motion")
        if self._map is None or not motion:
            return np.zeros((count, self._num_codes), np.float32)
        voice, loudness = voice_activity(samples, count)
        rows = HeadMotion(motion, controls.seed, controls.blink).push(voice, loudness)
        # blinks come also where the head does not move by itself
        scale = controls.pose_scale if controls.pose == "generated" else 0.0
        blink = rows.blink if controls.blink else None
        return self._map.code(rows.pose * np.float32(scale), blink, UNIT)

    def from_angles(self, angles_rad: np.ndarray) -> np.ndarray:
        """Pose codes [T, P] about the rest for yaw, pitch, roll [T, 3]. Raises UsageError for weights without a map."""
        from talkingface.face.mesh478_motion import turned_rows

        if self._map is None:
            raise UsageError("these weights cannot use angles; give a video, a photo or a motion file for --pose")
        return self._map.code(turned_rows(angles_rad), None, UNIT)


def voice_activity(samples: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of `count` frames the probability of voice [T], by loudness alone, and the loudness in dB below the
    voice's level [T] as `training.head_motion_fit` has it. The gain of the whole voice [N] does not matter."""
    columns = np.concatenate([np.zeros((0, 2), np.float32), *_loudness(samples * np.float32(speech_gain(samples)))])
    wanted = count * COLUMNS_PER_FRAME
    padded = np.pad(columns, ((0, max(0, wanted - len(columns))), (0, 0)), mode="edge")
    loudest, mean = padded[:wanted].reshape(count, COLUMNS_PER_FRAME, 2).mean(axis=1).T
    voice = np.clip((loudest - QUIET_DB) / (SPEAKING_DB - QUIET_DB), 0, 1)
    return voice.astype(np.float32), mean.astype(np.float32)


def _loudness(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Loudest bands and mean, relative to the level, of columns as `audio.mel.speech_columns` has them: [.., 2] in
    pieces, since half an hour at once would take a gigabyte."""
    mel, level = MelStream(), LevelTracker()
    whole = np.pad(samples, (0, HOP - len(samples) % HOP))
    pieces = (mel.push(whole[start : start + _PIECE * HOP]) for start in range(0, len(whole), _PIECE * HOP))
    for columns in chain([MelStream.silence()], pieces):
        yield np.stack([loudest_bands(columns), columns.mean(axis=1)], axis=1) - level.push(columns)[:, None]
