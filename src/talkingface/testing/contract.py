"""The requirements on every system: the checks behind `check_system`."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from talkingface.clips.source import open_media
from talkingface.core import registry
from talkingface.core.config import from_dict, load_config, save_config, to_dict
from talkingface.core.errors import InputError, UsageError
from talkingface.core.motion import check_motion, concatenate, load_motion, resample_motion, save_motion
from talkingface.core.spec import SystemSpec
from talkingface.core.system import System
from talkingface.core.types import Avatar, Clip, Controls, Frames, Motion, Photo
from talkingface.core.view import View
from talkingface.core.weights import load_avatar, save_avatar
from talkingface.testing.material import RATE_HZ, portrait, speech, write_clip

SIDE_PX = 192
CONTROLS = Controls(seed=3, size=SIDE_PX)
VOICE_S, LONG_S = 1.1, 4.0
SPLITS = {
    "odd pieces": [1, 2, 3, 700, 8001],
    "frames": [640 * k for k in range(1, 30)],
    "10 ms": [160 * k for k in range(1, 120)],
}
"""Where the voice is cut, in samples at 16 kHz."""
THREADS = 2
DEVICE_TOLERANCE = 0.5
"""Mean difference of pictures on another device, in steps of 8 bits."""


def check_system(
    system: str | SystemSpec,
    preset: str = "tiny",
    *,
    photo: str | Path | None = None,
    clip: str | Path | None = None,
    device: str = "cpu",
) -> None:
    """Check that a system, with fresh weights of `preset`, does what the toolkit relies on.

    `system` is a registered name or a spec. It is fitted to each kind of source that its spec lists: `photo` and `clip`
    (None: the shipped portrait, and that portrait swaying for 2.4 s), and driven by the clip where the spec lists it. A
    preset for tests should be small: everything is drawn about fifteen times. With another `device` pictures drawn
    there are held against the CPU's too. Raises AssertionError that lists every promise that is not kept.

    Example: `check_system("portrait", "tiny")`
    """
    spec = registry.get_spec(system) if isinstance(system, str) else system
    with tempfile.TemporaryDirectory(prefix="talkingface-check-") as name:
        folder = Path(name)
        driver = open_media(write_clip(folder / "clip.mp4") if clip is None else clip)
        assert isinstance(driver, Clip), f"{clip} is no video"
        broken = [*_broken_promises(SPEC_CHECKS, "spec", spec, preset, folder)]
        for kind in () if broken else spec.source:
            source = driver if kind == "clip" else portrait() if photo is None else open_media(photo)
            (folder / kind).mkdir()
            case = _make_case(spec, preset, source, driver, folder / kind, device)
            broken += _broken_promises(CHECKS, kind, case)
    if broken:
        raise AssertionError(f"{spec.name}, preset {preset}, breaks {len(broken)} promises:\n" + "\n".join(broken))


def _broken_promises(checks: Iterable[Callable[..., None]], where: str, *arguments: object) -> Iterator[str]:
    for check in checks:
        try:
            check(*arguments)
        except AssertionError as error:
            yield f"- {where}: {check.__doc__} {' '.join(str(error).split())[:300]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A fitted system, and the pictures `rgb` [T, H, W, 3] of it saying `voice`, copied as they came."""

    spec: SystemSpec
    preset: str
    source: Photo | Clip
    driver: Clip
    folder: Path
    device: str
    system: System
    avatar: Avatar
    voice: np.ndarray
    rgb: np.ndarray

    @property
    def is_clip(self) -> bool:
        return isinstance(self.source, Clip)

    def draw(self, cuts: list[int] | None = None, controls: Controls = CONTROLS) -> Iterator[Frames]:
        return self.system.stream(self.avatar, iter(np.split(self.voice, cuts or [])), controls)

    def motion(self, samples: np.ndarray, controls: Controls = CONTROLS) -> Motion:
        return concatenate(self.system.motion_from_audio(self.avatar, iter([samples]), controls))


def _make_case(spec: SystemSpec, preset: str, source: Photo | Clip, driver: Clip, folder: Path, device: str) -> _Case:
    system = _fresh(spec, preset)
    avatar = _fit(system, source, folder / "fit")
    voice = speech(VOICE_S)
    rgb = np.concatenate([piece.rgb.copy() for piece in system.stream(avatar, iter([voice]), CONTROLS)])
    return _Case(
        spec=spec, preset=preset, source=source, driver=driver, folder=folder, device=device, system=system,
        avatar=avatar, voice=voice, rgb=rgb,
    )  # fmt: skip


def _fresh(spec: SystemSpec, preset: str, device: str = "cpu") -> System:
    return registry.import_attribute(spec.factory)(None, registry.get_config(spec, preset), device)


def _fit(system: System, source: Photo | Clip, folder: Path) -> Avatar:
    folder.mkdir()
    return system.fit(source, size=SIDE_PX, folder=folder)


def _rgb(pieces: Iterable[Frames]) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in pieces])


def _check_equal(made: np.ndarray, wanted: np.ndarray, what: str) -> None:
    assert made.shape == wanted.shape, f"{what}: {made.shape}, not {wanted.shape}"
    assert np.array_equal(made, wanted), f"{what}: {np.mean(made != wanted):.2%} of the values differ"


# --- the spec ---


def _spec_is_true(spec: SystemSpec, preset: str, folder: Path) -> None:
    """The spec says what it must, and the class carries it."""
    for name in ("source", "driving", "poses", "licence", "summary", "motion_space"):
        assert getattr(spec, name), f"{name} is empty"
    assert preset in spec.presets, f"presets has no {preset}"
    assert spec == registry.import_attribute(spec.factory).SPEC, "SPEC of the class is another"
    assert not spec.default_weights or spec.default_weights in spec.weights, "default_weights are not among weights"
    for name in spec.weights:
        assert name.partition(".")[0] == spec.name, f"weights {name} must be called {spec.name}.something"


def _spec_is_light(spec: SystemSpec, preset: str, folder: Path) -> None:
    """Listing systems loads neither torch nor NumPy."""
    if spec.name not in registry.system_names():
        return
    code = (
        "import sys; from talkingface.core.registry import get_config, get_spec\n"
        f"spec = get_spec({spec.name!r}); get_config(spec, {preset!r})\n"
        "print(*{'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.split(), f"loaded: {done.stdout}"


def _configs_round_trip(spec: SystemSpec, preset: str, folder: Path) -> None:
    """Every preset is a dataclass that JSON keeps exactly."""
    for name in spec.presets:
        config = registry.get_config(spec, name)
        assert dataclasses.is_dataclass(config), name
        save_config(folder / "config.json", config)
        assert load_config(folder / "config.json", type(config)) == config, name
        assert from_dict(type(config), to_dict(config)) == config, name


SPEC_CHECKS = (_spec_is_true, _spec_is_light, _configs_round_trip)


# --- a fitted system ---


def _frames_cover_the_voice(case: _Case) -> None:
    """Frames follow each other, cover the voice, have the size asked for and are not written to again."""
    pieces, at = list(case.draw()), 0
    for piece in pieces:
        assert piece.start == at, f"a piece starts at {piece.start}, not {at}"
        assert piece.mask is None, "there is a mask although the background is kept"
        at += len(piece)
    wanted = int(np.ceil(len(case.voice) / RATE_HZ * case.system.fps(case.avatar, CONTROLS) - 1e-3))
    assert at == wanted, f"{at} frames, not {wanted}"
    assert max(case.rgb.shape[1:3]) == SIDE_PX, f"{case.rgb.shape[1:3]} for size {SIDE_PX}"
    _check_equal(_rgb(pieces), case.rgb, "pictures that were kept")


def _any_split_gives_equal_frames(case: _Case) -> None:
    """However the voice arrives, the pictures are the same."""
    for name, cuts in SPLITS.items():
        _check_equal(_rgb(case.draw(cuts)), case.rgb, name)


def _voice_moves_the_picture(case: _Case) -> None:
    """The voice moves the picture."""
    assert (case.rgb != case.rgb[:1]).any(), "every frame is the same"


def _seeds_repeat(case: _Case) -> None:
    """Equal seeds give equal head motion, others another."""
    if "generated" not in case.spec.poses:
        return
    one, same, other = (case.motion(speech(LONG_S), Controls(seed=seed)).pose for seed in (1, 1, 2))
    assert one is not None and same is not None and other is not None, "there is no pose"
    _check_equal(one, same, "seed 1 twice")
    assert not np.array_equal(one, other), "seeds 1 and 2 give the same"


def _latency_is_kept(case: _Case) -> None:
    """No more speech is heard ahead of a frame than the spec says; if live, nor before its picture is there."""
    for delay, latency in (case.spec.latency_frames or {}).items():
        controls = replace(CONTROLS, delay=delay)  # type: ignore[arg-type]
        _check_latency(case, controls, latency, case.system.motion_from_audio)
        if delay == "low" and case.system.fps(case.avatar, controls) == case.spec.fps:
            _check_latency(case, controls, latency, case.system.stream)


def _check_latency(
    case: _Case,
    controls: Controls,
    latency: int,
    stage: Callable[[Avatar, Iterator[np.ndarray], Controls], Iterator[Motion] | Iterator[Frames]],
) -> None:
    heard, samples = 0, speech(LONG_S)

    def pieces() -> Iterator[np.ndarray]:
        nonlocal heard
        for piece in np.split(samples, 400):
            heard += len(piece)
            yield piece

    for piece in stage(case.avatar, pieces(), controls):
        allowed_s = (piece.start + len(piece) + latency) / case.spec.fps + 0.011
        late = heard / RATE_HZ - allowed_s
        assert late <= 0 or heard == len(samples), f"{late:.3f} s too much at frame {piece.start}, {controls.delay}"
    assert heard == len(samples), "the voice was not read to its end"


def _scales_are_kept(case: _Case) -> None:
    """A still head is still, no blinks are none, and expression scale 0 is a face at rest."""
    still = case.motion(speech(LONG_S), Controls(pose="still", blink=0.0))
    assert still.pose is None or not still.pose.any(), "the still head moves"
    assert still.blink is None or not still.blink.any(), "it blinks"
    quiet = case.motion(speech(LONG_S), Controls(pose="still", expression_scale=0.0))
    assert not quiet.expression.any(), "the face is not at rest"


def _motion_is_a_hand_over(case: _Case) -> None:
    """Motion can be saved, loaded, edited and drawn."""
    motion = case.motion(case.voice)
    check_motion(motion, case.system.motion_space)
    assert motion.fps == case.spec.fps, f"{motion.fps} frames per second"
    save_motion(case.folder / "motion.npz", motion)
    loaded = load_motion(case.folder / "motion.npz")
    retimed = resample_motion([loaded], case.system.fps(case.avatar, CONTROLS))
    _check_equal(_rgb(case.system.render(case.avatar, retimed, CONTROLS)), case.rgb, "loaded")
    edited = replace(loaded, expression=np.zeros_like(loaded.expression))
    retimed = resample_motion([edited], case.system.fps(case.avatar, CONTROLS))
    assert not np.array_equal(_rgb(case.system.render(case.avatar, retimed, CONTROLS)), case.rgb), "edits do not show"


def _drawing_begins_anywhere(case: _Case) -> None:
    """A resumed job draws on exactly."""
    first = len(case.rgb) * 2 // 3
    motion = resample_motion([case.motion(case.voice)], case.system.fps(case.avatar, CONTROLS))
    rest = list(case.system.render(case.avatar, motion, CONTROLS, first=first))
    assert rest[0].start == first, f"it starts at {rest[0].start}, not {first}"
    _check_equal(_rgb(rest), case.rgb[first:], f"from frame {first}")


def _other_rates_are_drawn(case: _Case) -> None:
    """Motion at another rate is drawn frame for frame."""
    motion = concatenate(resample_motion([case.motion(case.voice)], 30.0))
    drawn = _rgb(case.system.render(case.avatar, iter([motion]), replace(CONTROLS, fps=30.0)))
    assert len(drawn) == len(motion), f"{len(drawn)} pictures of {len(motion)} frames"


def _transparency_has_a_mask(case: _Case) -> None:
    """With a transparent background every picture has a mask; a system without one refuses."""
    try:
        pieces = list(case.draw(controls=replace(CONTROLS, background="transparent")))
    except UsageError:
        return
    for piece in pieces:
        assert piece.mask is not None and piece.mask.shape == piece.rgb.shape[:3], "there is no mask"
        assert piece.mask.max() > 0, "nothing is opaque"


def _avatars_are_kept(case: _Case) -> None:
    """A saved avatar draws as the one that was fitted."""
    save_avatar(case.folder / "avatar", case.avatar)
    loaded = load_avatar(case.folder / "avatar")
    assert loaded.system == case.spec.name, f"system {loaded.system}"
    kind = loaded.card.get("kind")
    assert kind == ("clip" if case.is_clip else "photo"), f"kind {kind}"
    _check_equal(_rgb(case.system.stream(loaded, iter([case.voice]), CONTROLS)), case.rgb, "loaded")


def _fresh_weights_repeat(case: _Case) -> None:
    """Fresh weights and a fit are the same each time."""
    again = _fresh(case.spec, case.preset)
    avatar = _fit(again, case.source, case.folder / "again")
    _check_equal(_rgb(again.stream(avatar, iter([case.voice]), CONTROLS)), case.rgb, "fitted again")


def _threads_do_not_disturb(case: _Case) -> None:
    """Two jobs at once in a system that was not used before draw what each draws alone."""
    cold, together = _fresh(case.spec, case.preset), threading.Barrier(THREADS)

    def draw(_: int) -> np.ndarray:
        together.wait()
        return _rgb(cold.stream(case.avatar, iter([case.voice]), CONTROLS))

    with ThreadPoolExecutor(THREADS) as pool:
        for made in pool.map(draw, range(THREADS)):
            _check_equal(made, case.rgb, "in threads")


def _videos_drive(case: _Case) -> None:
    """A video drives the face where the spec lists it, and is refused elsewhere."""
    if "video" not in case.spec.driving:
        _check_refused(lambda: list(case.system.motion_from_video(case.avatar, case.driver, CONTROLS)), UsageError)
        return
    motion = concatenate(case.system.motion_from_video(case.avatar, case.driver, CONTROLS))
    wanted = case.driver.info.duration_s * case.spec.fps
    assert abs(len(motion) - wanted) <= 2, f"{len(motion)} frames for {wanted:.0f}"
    check_motion(motion, case.system.motion_space)
    assert motion.fps == case.spec.fps, f"{motion.fps} frames per second"
    few = replace(
        motion,
        expression=motion.expression[:5],
        **{
            name: None if (rows := getattr(motion, name)) is None else rows[:5]
            for name in ("pose", "blink", "gaze", "source")
        },
    )
    drawn = list(case.system.render(case.avatar, resample_motion([few], case.spec.fps), CONTROLS))
    assert len(_rgb(drawn)) == 5, f"{len(_rgb(drawn))} pictures of 5 frames"
    try:
        still = concatenate(case.system.motion_from_video(case.avatar, portrait(), CONTROLS))
    except InputError:
        return
    assert len(still) == 1, f"a photo gives {len(still)} frames"


def _angles_turn(case: _Case) -> None:
    """Angles become pose rows of the motion space, or are refused."""
    angles = np.deg2rad(np.array([[0, 0, 0], [10, 0, 0], [0, 5, -5]], np.float32))
    try:
        rows = case.system.pose_from_angles(angles)
    except UsageError:
        return
    pose = case.motion(case.voice).pose
    columns = rows.shape[1:] if pose is None else pose.shape[1:]
    assert rows.shape == (3, *columns) and rows.dtype == np.float32, f"{rows.dtype} {rows.shape}"
    assert len(np.unique(rows, axis=0)) == 3, "different angles give the same row"


def _clips_keep_their_pose(case: _Case) -> None:
    """An avatar of a clip moves its head as in the clip when asked to, wherever drawing begins."""
    if not case.is_clip or "source" not in case.spec.poses:
        return
    controls = replace(CONTROLS, pose="source")
    whole = _rgb(case.draw(controls=controls))
    motion = resample_motion([case.motion(case.voice, controls)], case.system.fps(case.avatar, controls))
    rest = case.system.render(case.avatar, motion, controls, first=7)
    _check_equal(_rgb(rest), whole[7:], "from frame 7")


def _views_are_drawn(case: _Case) -> None:
    """Where the spec says so, a frame is drawn from anywhere: straight on as a video shows it, turned otherwise."""
    if not case.spec.viewable:
        _check_refused(lambda: case.system.open_view(case.avatar, CONTROLS), UsageError)
        return
    renderer = case.system.open_view(case.avatar, CONTROLS)
    assert hasattr(renderer, "draw") and hasattr(renderer, "landmarks"), "its renderer draws no views"
    motion = case.motion(case.voice)
    width = case.system.motion_space.width("pose") or 0
    pose = np.zeros(width, np.float32) if motion.pose is None else motion.pose[5]
    row = (motion.expression[5], pose, 0.0 if motion.blink is None else float(motion.blink[5, 0]))
    drawn, depth = renderer.draw(*row, None)
    size = case.rgb.shape[1:3]
    assert drawn.shape == (*size, 3) and drawn.dtype == np.uint8, f"{drawn.dtype} {drawn.shape}, not of {size}"
    assert depth.shape == size and depth.dtype == np.float32 and not np.isnan(depth).any(), "depth is no picture"
    _check_equal(renderer.draw(*row, View())[0], drawn, "seen as by the camera")
    turned = renderer.draw(*row, View(yaw=0.3))[0]
    assert not np.array_equal(turned, drawn), "yaw changes nothing"
    renderer.draw(*row, View(pitch=-0.2, roll=0.1, zoom=1.5, pan_x=0.1, pan_y=-0.1, fov=0.6))
    points = renderer.landmarks(row[0], row[1], None)
    assert points.shape == (68, 2) and np.isfinite(points).all(), f"landmarks {points.shape}"


def _devices_agree(case: _Case) -> None:
    """Another device draws the same but for rounding."""
    if case.device == "cpu":
        return
    other = _fresh(case.spec, case.preset, case.device)
    drawn = _rgb(other.stream(case.avatar, iter([case.voice]), CONTROLS))
    difference = float(np.abs(drawn.astype(np.int16) - case.rgb).mean())
    assert difference < DEVICE_TOLERANCE, f"mean difference {difference:.2f}"


def _check_refused(call: Callable[[], object], error: type[Exception]) -> None:
    try:
        call()
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


CHECKS = (
    _frames_cover_the_voice,
    _any_split_gives_equal_frames,
    _voice_moves_the_picture,
    _seeds_repeat,
    _latency_is_kept,
    _scales_are_kept,
    _motion_is_a_hand_over,
    _drawing_begins_anywhere,
    _other_rates_are_drawn,
    _transparency_has_a_mask,
    _avatars_are_kept,
    _fresh_weights_repeat,
    _threads_do_not_disturb,
    _videos_drive,
    _angles_turn,
    _clips_keep_their_pose,
    _views_are_drawn,
    _devices_agree,
)
