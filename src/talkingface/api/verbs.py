"""The verbs of the command line and of Python."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from talkingface.api.animation import Animation
from talkingface.api.consent import check_use, load_checked, with_consent
from talkingface.api.inputs import Speech, SpeechSource
from talkingface.api.layout import LAYOUTS, make_strip
from talkingface.api.poses import HeadPose, is_motion_file, open_pose
from talkingface.api.provenance import left_out
from talkingface.api.resume import job_key
from talkingface.api.style import read_style
from talkingface.api.viewing import Viewing, check_avatar
from talkingface.clips.source import Source, existing, existing_media, open_media, open_source
from talkingface.core import registry
from talkingface.core import weights as store
from talkingface.core.cache import content_hash
from talkingface.core.checks import (
    check_controls,
    check_driver,
    check_face_index,
    check_source,
    check_style,
    check_viewable,
    is_clip,
)
from talkingface.core.config import from_dict, merged, parse_json, to_dict, upgrade
from talkingface.core.device import configure_process, pick_device
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.kept import Kept
from talkingface.core.motion import check_motion, concatenate, load_motion, replace_pose, resample_motion
from talkingface.core.options import (
    AnimateOptions,
    FitOptions,
    MotionOptions,
    OwnOptions,
    PictureOptions,
    RenderOptions,
    SpokenOptions,
    SystemOptions,
    ViewOptions,
    make_options,
    make_own_options,
)
from talkingface.core.registry import DEFAULT_SYSTEM
from talkingface.core.spec import SystemSpec
from talkingface.core.style import AVERAGE
from talkingface.core.system import System
from talkingface.core.types import Audio, Avatar, Clip, Controls, Motion, Photo, described

Face = str | Path | np.ndarray | Source


def load(
    system: str = DEFAULT_SYSTEM, *, weights: str | Path | None = None, device: str = "auto", preset: str | None = None
) -> System:
    """A system ready to use; loaded once per process for the same arguments.

    `weights`: a name ("portrait.clean"), a tag ("clean"), a folder, or None for the system's default. `preset` makes
    fresh, untrained weights of that config instead ("tiny" for tests). Raises UsageError, WeightsError.
    """
    configure_process()
    spec = registry.get_spec(system)
    device = pick_device(device)
    if preset is not None:
        if weights is not None:
            raise UsageError("give either weights or a preset, not both")
        return registry.import_attribute(spec.factory)(None, registry.get_config(spec, preset), device)
    ref = _find_weights(spec.name, str(weights or spec.default_weights))
    factory = registry.import_attribute(spec.factory)
    key = (factory, content_hash(ref.folder / "card.json"), device)  # the card holds the hash of everything else
    return _systems.get(key, lambda: _load(spec, ref, device))


_systems: Kept[System] = Kept(4)


def _find_weights(system: str, name: str) -> store.WeightsRef:
    """Weights by name, tag or folder; a folder that happens to be called like a tag has to be named as `./clean`."""
    tagged = name if "." in name else f"{system}.{name}"
    try:
        return store.find_weights(tagged)
    except WeightsError:
        if tagged != name and os.path.isdir(name):
            return store.find_weights(name)
        raise


def _load(spec: SystemSpec, ref: store.WeightsRef, device: str) -> System:
    weights = store.load_weights(ref)
    if weights.card.get("system", spec.name) != spec.name:
        raise WeightsError(
            f"{ref.name} belongs to system {weights.card['system']}, not {spec.name}; change --system or --weights"
        )
    try:
        kind = type(registry.get_config(spec, spec.presets[0]))
        config = from_dict(kind, upgrade(weights.card.get("config", {}), kind))
    except UsageError as error:
        raise WeightsError(f"the config in the card of {ref.name} does not fit: {error}") from error
    return registry.import_attribute(spec.factory)(weights, config, device)


def fit(
    face: Face,
    *more: Face,
    face_index: int | None = None,
    size: int | str | None = None,
    folder: str | Path | None = None,
    **options: Any,
) -> Avatar:
    """Make an avatar, which `animate` takes in place of a face, as often as you like.

    `face`: a photo, a clip, an RGB picture uint8 [H, W, 3], or an avatar folder (which is loaded). `more`: photos of
    the person with an open mouth, whose teeth are then drawn (systems with `SPEC.more_photos`). `face_index` counts
    faces from the left, None takes the largest; `size` see `Controls.size`. A system that trains (`headpose`) keeps
    unfinished work in `folder` and goes on from there. Further options: `core.options.FitOptions`.
    `core.weights.save_avatar` keeps it. Raises FaceError, InputError, UsageError, ConsentError.
    """
    choice = make_options(FitOptions, options)
    check_face_index(face_index)
    Controls(size=size)  # type: ignore[arg-type]  # for its check
    record = load_checked(choice.consent, face, required=choice.require_consent)
    source = open_source(face)
    photos = [_further_photo(each) for each in more]
    if photos and not _spec_of(source, choice).more_photos:
        raise UsageError(f"{_spec_of(source, choice).name} takes one photo or video; leave out the others")
    if isinstance(source, Avatar) and not (choice.config is None and folder is None):
        raise UsageError("this is an avatar already; give the photo or video to fit it again")
    system = _load_for(source, _spec_of(source, choice), choice)
    if choice.config is not None:
        system = _with_config(system, choice.config)
    avatar = source
    if not isinstance(avatar, Avatar):
        place = None if folder is None else Path(folder)
        avatar = system.fit(avatar, face_index=face_index, size=size, folder=place)
    if photos:
        avatar = system.add_photos(avatar, photos)
    return with_consent(avatar, record, required=choice.require_consent)


def _further_photo(face: Face) -> Photo:
    source = open_source(face)
    if not isinstance(source, Photo):
        raise UsageError("what follows the first face must be photos of the same person; give a video first, or alone")
    return source


def _with_config(system: System, config: str) -> System:
    """The system with a preset's config, or with its own but for what a JSON file says."""
    spec = system.SPEC
    if config in spec.presets:
        chosen = registry.get_config(spec, config)
    else:
        path = existing(config)
        data = parse_json(path.read_text(encoding="utf-8"), str(path))
        if not isinstance(data, dict):
            raise UsageError(f"{path} must hold one JSON object")
        kind = type(system.config)
        chosen = from_dict(kind, merged(to_dict(system.config), upgrade(data, kind)), path.name)
    return registry.import_attribute(spec.factory)(system.weights, chosen, system.device)


def animate(face: Face, speech: SpeechSource | None = None, **options: Any) -> Animation:
    """A face and a voice become a talking video, when the result is iterated or saved.

    `face`: a photo, a clip (its head motion and eyes are kept, the speech is replaced), an avatar or its folder, or an
    RGB picture. `speech`: a file that FFmpeg decodes, an `Audio`, or an iterator of mono float32 pieces at 16 kHz
    (frames then come while it arrives); may be left out when `drive` is a video with sound. Options:
    `talkingface.core.options.AnimateOptions`.

    Example: `talkingface.animate("me.jpg", "hi.wav", pose="still").save("out.mp4")`
    """
    started_s = time.perf_counter()
    choice = make_options(AnimateOptions, options)
    withheld = left_out({"credentials": choice.no_credentials, "mark": choice.no_mark})
    if speech is None and choice.drive is None:
        raise UsageError("no speech given; name a sound file after the face, or a video with --drive")
    if choice.layout not in LAYOUTS:
        raise UsageError(f"layout is {' or '.join(LAYOUTS)}, not {choice.layout!r}")
    voice = Speech(existing_media(choice.drive or "") if speech is None else speech, choice.sound_track)
    voice.check()
    source = open_source(face)
    check_use(source)
    spec = _spec_of(source, choice)
    driver = None if choice.drive is None else open_media(choice.drive)
    if driver is not None:
        check_driver(spec, driver)
        if choice.style is not None:
            raise UsageError("--style is for motion made from speech; leave out --style, or --drive")
    pose = open_pose(choice.pose, driven=driver is not None, of_clip=is_clip(source))
    controls = _checked(spec, source, pose, choice, choice, choice)
    system = _load_for(source, spec, choice)
    avatar = _avatar_of(source, system, choice.face_index, choice.size)
    rows = pose.rows(system, avatar, controls)
    spoken = partial(_spoken, system, avatar, voice, controls, rows)
    motions = spoken
    if driver is not None:
        motions = partial(_driven, system, avatar, voice, controls, driver, pose.kind, rows)
    key = partial(job_key, face=face, speech=_stored(voice), system=system, options=choice)
    finishers = ()
    if choice.layout == "strip":
        strip = make_strip(source, voice.source, drive=driver, pose=pose.path, clock_fps=system.SPEC.fps)
        finishers = (strip.arrange,)
    return Animation(
        system=system, avatar=avatar, controls=controls, motions=motions, speech=voice, key=key, finishers=finishers,
        inputs={"face": face, "drive": choice.drive, "speech": voice.source, "pose": choice.pose, "style": choice.style,
                "background": choice.background},
        withheld=withheld, started_s=started_s,
    )  # fmt: skip


def _spoken(
    system: System, avatar: Avatar | None, voice: Speech, controls: Controls, rows: np.ndarray | None
) -> Iterator[Motion]:
    """Motion from the voice, with the head pose of a file if there is one."""
    motions = system.speak(avatar, voice.pieces(), controls)
    return motions if rows is None else replace_pose(motions, rows)


def _driven(
    system: System,
    avatar: Avatar,
    voice: Speech,
    controls: Controls,
    drive: Photo | Clip,
    pose: str,
    rows: np.ndarray | None,
) -> Iterator[Motion]:
    """Motion from the drive video, with its own head pose or another one; it ends with the voice or the video."""
    voice.measure()
    motions = system.motion_from_video(avatar, drive, controls)
    if pose in ("drive", "source"):  # the pose of a source clip is the renderer's matter
        return motions
    if pose == "generated":
        rows = concatenate(system.speak(avatar, voice.pieces(), controls)).pose
    return replace_pose(motions, rows)


def motion(speech: SpeechSource, *, face: Face | None = None, **options: Any) -> Motion:
    """The motion of a voice, to be edited, saved with `core.motion.save_motion`, and rendered.

    `face` is only needed for `pose_origin` "none" and by systems whose motion depends on the person. Options:
    `core.options.SpokenOptions`; `pose="source"` is for `animate`.

    Example: `talkingface.motion("hi.wav", seed=3).expression.shape`
    """
    choice = make_options(SpokenOptions, options)
    voice = Speech(speech, choice.sound_track)
    voice.check()
    source = None if face is None else open_source(face)
    spec = _spec_of(source, choice)
    if choice.pose == "source":
        raise UsageError("--pose source works only while a face is drawn; use it with talkingface animate")
    pose = open_pose(choice.pose or "generated", driven=False, of_clip=False)
    controls = _checked(spec, source, pose, choice, PictureOptions(), choice)
    system = _load_for(source, spec, choice)
    avatar = None if source is None else _avatar_of(source, system, None, None)
    rows = pose.rows(system, avatar, controls)
    return concatenate(_spoken(system, avatar, voice, controls, rows))


def render(face: Face, motion: Motion | str | Path, *, speech: SpeechSource | None = None, **options: Any) -> Animation:
    """Pictures from a motion (or a motion file) and a face; `speech` adds its sound.

    Options: `core.options.RenderOptions`. A motion of another space raises UsageError.
    """
    choice = make_options(RenderOptions, options)
    withheld = left_out({"credentials": choice.no_credentials, "mark": choice.no_mark})
    if not isinstance(motion, (Motion, str, Path)):
        raise UsageError(f"motion comes as a Motion or the path of a motion file, not as {described(motion)}")
    name = "the motion" if isinstance(motion, Motion) else str(motion)
    moved = motion if isinstance(motion, Motion) else load_motion(motion)
    voice = None if speech is None else Speech(speech, choice.sound_track)
    if voice is not None:
        voice.measure()
    source = open_source(face)
    check_use(source)
    spec = _spec_of(source, choice)
    check_motion(moved, spec.space_of(moved.space), name)
    controls = _checked(spec, source, HeadPose(kind="generated"), MotionOptions(), choice, choice)
    system = _load_for(source, spec, choice)
    check_motion(moved, system.motion_space, name)
    avatar = _avatar_of(source, system, choice.face_index, choice.size)
    key = partial(job_key, face=face, speech=_stored(voice), system=system, options=choice, motion=moved)
    return Animation(
        system=system, avatar=avatar, controls=controls, motions=lambda: iter([moved]), speech=voice, key=key,
        inputs={"face": face, "motion": motion, "speech": None if voice is None else voice.source,
                "background": choice.background},
        withheld=withheld,
    )  # fmt: skip


def open_viewing(
    face: Face,
    moving: SpeechSource | Motion | None = None,
    *,
    speech: SpeechSource | None = None,
    **options: Any,
) -> Viewing:
    """An avatar with a motion, any frame of which is drawn from anywhere: what `talkingface view` shows.

    `moving`: a voice, stored in a file or an `Audio`; a `Motion` or a motion file, to which `speech` adds its sound;
    None: ten silent seconds. Options: `core.options.ViewOptions`. Raises UsageError for flat systems.

    Example: `talkingface.api.open_viewing("me.avatar", "hi.wav").draw(Shot(frame=10, view=View(yaw=0.3)))`
    """
    choice = make_options(ViewOptions, options)
    if choice.background == "transparent":
        raise UsageError("--background transparent is for files; give a colour or a picture to view")
    source = open_source(face)
    check_use(source)
    spec = _spec_of(source, choice)
    check_viewable(spec)
    avatar = check_avatar(source)
    moved = load_motion(moving) if isinstance(moving, str | Path) and is_motion_file(moving) else moving
    name = "the motion" if isinstance(moving, Motion) else str(moving)
    if isinstance(moved, Motion):
        check_left_out(choice, MotionOptions, "a motion says itself how the face moves")
        check_motion(moved, spec.space_of(moved.space), name)
        voice = None if speech is None else _stored_voice(speech, choice.sound_track)
    elif speech is not None:
        raise UsageError("--speech is the sound of a motion; leave it out where a voice moves the face")
    else:
        voice = _stored_voice(_SILENCE if moved is None else moved, choice.sound_track)
    pose = open_pose(choice.pose, driven=False, of_clip=is_clip(source))
    controls = _checked(spec, source, pose, choice, choice, choice)
    system = _load_for(source, spec, choice)
    if isinstance(moved, Motion):
        motion = check_motion(moved, system.motion_space, name)
    else:
        assert voice is not None
        motion = concatenate(_spoken(system, avatar, voice, controls, pose.rows(system, avatar, controls)))
    motion = concatenate(resample_motion([motion], system.fps(avatar, controls)))
    return Viewing(system, avatar, controls, motion, None if moving is None else voice)


_SILENCE = Audio(samples=np.zeros((1, 160_000), np.float32), rate_hz=16_000)


def _stored_voice(source: SpeechSource, track: int | None) -> Speech:
    """Speech that can be heard again and again. Raises UsageError for pieces, SpeechError."""
    voice = Speech(source, track)
    if not voice.is_stored:
        raise UsageError("a voice to view comes as a file or an Audio, not in pieces")
    voice.check()
    return voice


def check_left_out(choice: object, group: type, reason: str) -> None:
    """Raise UsageError, which begins with `reason`, for an option of `group` that is not as it is by itself."""
    for option in dataclasses.fields(group):
        if getattr(choice, option.name) != option.default:
            raise UsageError(f"{reason}; leave --{option.name.replace('_', '-')} out")


def _stored(voice: Speech | None) -> SpeechSource | None:
    """What the speech is for the key of a job. Pieces are heard once: not before the frames are made."""
    if voice is None:
        return None
    return voice.source if voice.is_stored else "pieces"


def _load_for(source: Source | None, spec: SystemSpec, choice: SystemOptions) -> System:
    """The system to use; an avatar made earlier decides the weights unless they are named."""
    own = source.card.get("weights") if isinstance(source, Avatar) else None
    return load(spec.name, weights=choice.weights or str(own or "") or None, device=choice.device)


def _avatar_of(source: Source, system: System, face_index: int | None, size: int | str | None) -> Avatar:
    return source if isinstance(source, Avatar) else system.fit(source, face_index=face_index, size=size)


def _spec_of(source: Source | None, choice: SystemOptions) -> SystemSpec:
    """The spec of the system that is asked for; an avatar decides it. Raises UsageError if they do not fit."""
    if isinstance(source, Avatar):
        if choice.system not in (None, source.system):
            raise UsageError(
                f"this avatar was made for system {source.system}, not {choice.system}; leave --system out or fit again"
            )
        return registry.get_spec(source.system)
    spec = registry.get_spec(choice.system or DEFAULT_SYSTEM)
    if source is not None:
        check_source(spec, source)
    return spec


def _checked(
    spec: SystemSpec, source: Source | None, pose: HeadPose, moving: MotionOptions, picture: PictureOptions,
    own: OwnOptions,
) -> Controls:  # fmt: skip
    """The controls, after everything that a job of this system can be refused for before work begins."""
    check_face_index(picture.face_index)
    if moving.pose_origin is not None and not pose.is_measured:
        raise UsageError("--pose-origin is for head motion from a video; name one with --drive or --pose")
    pose.check(spec)
    controls = Controls(
        seed=moving.seed,
        blink=moving.blink,
        gaze=moving.gaze,
        expression_scale=moving.expression_scale,
        pose_scale=moving.pose_scale,
        delay=moving.delay,  # type: ignore[arg-type]
        pose_origin=moving.pose_origin,  # type: ignore[arg-type]
        pose=pose.kind if pose.kind in ("generated", "source") else "still",
        background=str(picture.background),
        crop=picture.crop or spec.default_crop,  # type: ignore[arg-type]
        size=picture.size,  # type: ignore[arg-type]
        fps=picture.fps,
        own=_own_options(spec, own.set or {}),
    )
    check_controls(spec, controls, is_clip(source))
    if moving.style is not None:
        check_style(spec, AVERAGE)  # before a clip is read
        controls = replace(controls, style=read_style(moving.style))
    if controls.background not in ("keep", "transparent"):
        from talkingface.video.background import make_background

        make_background(controls.background, (2, 2))  # for its faults
    return controls


def _own_options(spec: SystemSpec, values: Mapping[str, Any]) -> object:
    """The record of the system's own options, None if it has none."""
    if spec.options:
        return make_own_options(registry.import_attribute(spec.options), values)
    if values:
        raise UsageError(f"system {spec.name} has no options of its own; leave --set out")
    return None
