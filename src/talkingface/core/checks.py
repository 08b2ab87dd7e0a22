"""Checks of what a system's spec allows, made before anything is loaded, tracked or drawn."""

from __future__ import annotations

import numpy as np

from talkingface.core.errors import InputError, UsageError
from talkingface.core.spec import SystemSpec
from talkingface.core.style import Style
from talkingface.core.types import Avatar, Clip, Controls, Photo

_KINDS = {
    "still": "still", "generated": "generated", "source": "source", "video": "a video", "photo": "a photo",
    "motion": "a motion file", "angles": "a CSV of angles",
}  # fmt: skip


def is_clip(source: Photo | Clip | Avatar | None) -> bool:
    """Whether a face is a clip, or an avatar made from one."""
    return isinstance(source, Clip) or (isinstance(source, Avatar) and source.card.get("kind") == "clip")


def check_source(spec: SystemSpec, source: Photo | Clip) -> None:
    """Refuse a face of a kind that the system makes no avatar of. Raises UsageError."""
    kind = "photo" if isinstance(source, Photo) else "clip"
    if kind not in spec.source:
        named = {"photo": "a photo", "clip": "a video"}
        raise UsageError(f"system {spec.name} takes {named[spec.source[0]]}, not {named[kind]}; use another --system")


def check_face_index(face_index: object) -> None:
    """Refuse what counts no faces. Raises UsageError."""
    good = isinstance(face_index, (int, np.integer)) and not isinstance(face_index, bool) and face_index >= 0
    if face_index is not None and not good:
        raise UsageError(f"--face-index counts faces from the left, 0 first; it cannot be {face_index!r}")


def check_controls(spec: SystemSpec, controls: Controls, of_clip: bool) -> None:
    """Refuse what the system cannot draw; `of_clip`: whether the avatar is one of a clip. Raises UsageError."""
    kind = controls.background if controls.background in ("keep", "transparent") else "replace"
    allowed, reason = spec.backgrounds, ""
    if of_clip and controls.pose == "source" and spec.clip_backgrounds is not None:
        allowed = spec.clip_backgrounds
        reason = " while a clip is shown with its own head motion; use --pose generated or still"
    if kind not in allowed:
        possible = " or ".join("a colour or picture" if name == "replace" else name for name in allowed)
        raise UsageError(f"system {spec.name} only takes --background {possible}{reason}")
    check_style(spec, controls.style)
    if controls.pose_origin is not None and controls.pose_origin not in spec.pose_origins:
        known = f"; known: {', '.join(spec.pose_origins)}" if spec.pose_origins else ""
        raise UsageError(f"system {spec.name} has no --pose-origin {controls.pose_origin}{known}")
    if controls.delay != "best" and controls.delay not in (spec.latency_frames or ()):
        raise UsageError(f"system {spec.name} hears the whole voice first; leave --delay out or use another --system")


def check_style(spec: SystemSpec, style: Style | None) -> None:
    """Refuse a style where nothing can lay one on the system's motion. Raises UsageError."""
    if style is not None and not spec.motion_space.style:
        raise UsageError(
            f"system {spec.name} takes no --style; scale its mouth with --expression-scale, or use another --system"
        )


def check_viewable(spec: SystemSpec) -> None:
    """Refuse to show an avatar from all around whose system draws flat pictures. Raises UsageError."""
    if not spec.viewable:
        raise UsageError(
            f"avatars of system {spec.name} cannot be viewed from all around; make a video of them with talkingface "
            "animate"
        )


def check_driver(spec: SystemSpec, driver: Photo | Clip) -> None:
    """Refuse a video whose person shall drive the face, if the system takes none. Raises UsageError, InputError."""
    if "video" not in spec.driving:
        raise UsageError(f"system {spec.name} cannot be driven by a video; leave --drive out or use another --system")
    if isinstance(driver, Photo):
        check_pose(spec, "photo", str(driver.path))


def check_pose(spec: SystemSpec, kind: str, name: str = "") -> None:
    """Refuse head motion of a kind (see `SystemSpec.poses`) that the system does not take; `name`: its file.

    Raises UsageError, for a photo InputError.
    """
    if kind in spec.poses:
        return
    if kind == "photo" and "video" in spec.poses:
        raise InputError(
            f"{name} is a photo, which holds no motion; give a video or a folder of its pictures, or for a held head a "
            "CSV of angles"
        )
    raise UsageError(
        f"system {spec.name} takes no head motion from {_KINDS[kind]}; --pose is "
        f"{', '.join(_KINDS[known] for known in spec.poses)}"
    )
