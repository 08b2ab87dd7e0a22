"""`Viewing`: an avatar and its motion, any frame of which can be drawn from anywhere."""

from __future__ import annotations

import wave
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import IO

import numpy as np

from talkingface.api.inputs import Speech
from talkingface.core.digest import array_digest, avatar_digest
from talkingface.core.errors import UsageError
from talkingface.core.kept import Kept
from talkingface.core.motion_space import Movement
from talkingface.core.registry import suggest
from talkingface.core.system import System, ViewableRenderer
from talkingface.core.types import Audio, Avatar, Controls, Motion, Photo, check_number
from talkingface.core.view import View, ViewSetting

SOUND_HZ = 32000
MAX_ADDED = 20.0
_FEW = 6
"""Columns of the expression that are offered where the space names no movements."""
_KEPT = 3
_NEAR, _FAR = 255, 48
"""Grey levels of depth; what is not the person is black."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What one picture shows.

    `frame` of the motion (the last one beyond its end), with `added` to columns of its expression, and the eyes as
    closed as `closure` says (None: as the motion says), the head `still` in its rest pose or moving; seen by `view`;
    its colours or its `depth`; over `background` ("keep" or a colour; None: as it was opened), with `size` pixels on
    the longest side (None: as it was opened). `landmarks`: the frame whose 68 points are drawn over it.
    """

    frame: int = 0
    added: Mapping[int, float] = field(default_factory=dict)
    closure: float | None = None
    still: bool = False
    view: View = field(default_factory=View)
    depth: bool = False
    background: str | None = None
    size: int | None = None
    landmarks: int | None = None


class Viewing:
    """An avatar with a motion, open for drawing; made by `api.open_viewing`. Any number of threads may draw.

    Pictures carry the invisible mark of the toolkit's results. `speech`: what is heard with the motion, or None.
    """

    def __init__(
        self, system: System, avatar: Avatar, controls: Controls, motion: Motion, speech: Speech | None
    ) -> None:
        self.system, self.avatar = system, avatar
        # rows say the pose, whatever the renderer has of its own; "low": single frames, as soon as they can be there
        delay = "low" if "low" in (system.SPEC.latency_frames or ()) else controls.delay
        self.controls = replace(controls, pose="still", delay=delay)
        self.motion, self.speech = motion, speech
        self._renderers: Kept[ViewableRenderer] = Kept(_KEPT)
        self._markers: Kept = Kept(_KEPT)
        self._job = f"view {avatar_digest(avatar)} {array_digest([motion.expression])}"
        self._points: np.ndarray | None = None
        self.size = self.draw(Shot()).shape[1::-1]
        """(width, height) of the picture as it was opened."""

    @property
    def num_frames(self) -> int:
        """Frames of the motion."""
        return len(self.motion)

    @property
    def fps(self) -> float:
        """Frames of the motion in a second."""
        return float(self.motion.fps)

    @property
    def movements(self) -> tuple[Movement, ...]:
        """The columns of the expression that can be moved by name."""
        groups = self.system.motion_space.expression
        names = [name for group in groups for name in group.names]
        named = self.system.motion_space.movements
        return named or tuple(Movement(column=k, negative="", positive=name) for k, name in enumerate(names[:_FEW]))

    @property
    def settings(self) -> tuple[ViewSetting, ...]:
        """What else the renderer can be asked for."""
        return getattr(self._renderer(Shot()), "view_settings", ())

    @property
    def has_landmarks(self) -> bool:
        """Whether points can be drawn over the picture."""
        return hasattr(self._renderer(Shot()), "landmarks")

    def draw(self, shot: Shot) -> np.ndarray:
        """The picture uint8 [H, W, 3] that `shot` asks for. Raises UsageError for what cannot be drawn."""
        renderer, view = self._renderer(shot), shot.view
        self._check_settings(view)
        expression, pose, closure = self._row(shot)
        rgb, depth = renderer.draw(expression, pose, closure, view, deep=shot.depth)
        picture = _grey(depth) if shot.depth else self._marked(rgb)
        if shot.landmarks is not None and self.has_landmarks:
            from talkingface.face.landmarks68 import draw_landmarks

            shown = self._row(replace(shot, frame=shot.landmarks))[0]
            draw_landmarks(picture, renderer.landmarks(shown, pose, view), radius_px=max(picture.shape[:2]) / 256)
        return picture

    def _check_settings(self, view: View) -> None:
        known = {setting.name: setting for setting in self.settings} if view.settings else {}
        for name, value in view.settings.items():
            if name not in known:
                raise UsageError(f"there is no setting {name!r}{suggest(name, known)}")
            check_number(name, value, known[name].low, known[name].high)

    def _row(self, shot: Shot) -> tuple[np.ndarray, np.ndarray, float]:
        """Expression, pose and closure that `shot` asks for."""
        motion, row = self.motion, min(max(0, shot.frame), len(self.motion) - 1)
        expression = motion.expression[row].copy()
        for column, value in shot.added.items():
            check_number("a movement", value, -MAX_ADDED, MAX_ADDED)
            if not 0 <= column < len(expression):
                raise UsageError(f"the expression has {len(expression)} columns; there is no column {column}")
            expression[column] += value
        pose = None if motion.pose is None or shot.still else motion.pose[row]
        closure = shot.closure
        if closure is None:
            closure = 0.0 if motion.blink is None else float(motion.blink[row, 0])
        check_number("closure", closure, -0.01, 1.01)
        width = self.system.motion_space.width("pose") or 0
        at_rest = np.zeros(width, np.float32)
        return expression, at_rest if pose is None else pose, min(max(0.0, closure), 1.0)

    def _renderer(self, shot: Shot) -> ViewableRenderer:
        controls = replace(
            self.controls,
            background=self.controls.background if shot.background is None else shot.background,
            size=self.controls.size if shot.size is None else shot.size,
        )
        key = (controls.background, controls.size)  # everything else stays
        return self._renderers.get(key, lambda: self.system.open_view(self.avatar, controls))

    def _marked(self, rgb: np.ndarray) -> np.ndarray:
        from talkingface.trust.mark import Marker, mark_key, mark_payload

        size = rgb.shape[1::-1]
        marker = self._markers.get(size, lambda: Marker(size, self.fps, mark_payload(self._job), mark_key()))
        return marker.apply(rgb)

    def write_sound(self, file: IO[bytes]) -> None:
        """Write what is heard with the motion as a mono WAV file at 32 kHz, with flat memory. Raises SpeechError."""
        from talkingface.audio.read import stream_audio
        from talkingface.video.channels import mix

        if self.speech is None or not self.speech.is_stored:
            raise UsageError("nothing is heard with this motion")
        source, rate_hz = self.speech.source, SOUND_HZ
        if isinstance(source, Audio):
            pieces, rate_hz = iter([mix(source.samples, [])]), source.rate_hz
        else:
            assert isinstance(source, str) or hasattr(source, "__fspath__")
            pieces = stream_audio(source, rate_hz, track=self.speech.track)  # type: ignore[arg-type]
        with wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(rate_hz)
            for piece in pieces:
                sound.writeframes((np.clip(piece, -1, 1) * 32767).astype("<i2").tobytes())


def check_avatar(source: object) -> Avatar:
    """`source` if it is an avatar. Raises UsageError that says how to make one."""
    if not isinstance(source, Avatar):
        kind = "photo" if isinstance(source, Photo) else "video"
        raise UsageError(f"this is a {kind}; make an avatar of it first: talkingface fit FACE -o me.avatar")
    return source


def _grey(depth: np.ndarray) -> np.ndarray:
    """Depth [H, W] as a picture uint8 [H, W, 3]: near is light, black is no depth."""
    near = np.zeros(depth.shape, np.uint8)
    seen = np.isfinite(depth)
    if seen.any():
        low, high = np.percentile(depth[seen][::7], (0.5, 99.5))
        share = np.clip((depth - low) / max(high - low, 1e-6), 0, 1, where=seen, out=np.zeros_like(depth))
        near = np.where(seen, _NEAR - (_NEAR - _FAR) * share, 0).astype(np.uint8)
    return np.repeat(near[..., None], 3, axis=-1)
