"""Render a photo: pose the mesh, warp, refine, a fixed number of frames at a time, at the pace of the stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from talkingface.core.cache import content_hash
from talkingface.core.config import from_dict
from talkingface.core.digest import array_digest, background_key
from talkingface.core.errors import UsageError, WeightsError
from talkingface.core.kept import Kept
from talkingface.core.motion import batches, skip_frames
from talkingface.core.pace import PACES
from talkingface.core.stream import ordered_map_with
from talkingface.core.types import Controls, Frames, Motion
from talkingface.core.weights import find_weights, load_weights
from talkingface.face.matte import near_colours
from talkingface.face.pose import head_box
from talkingface.face.raster import Box
from talkingface.photo.composite import Drawer, HiddenMouth, hidden_mouth, showing
from talkingface.photo.config import RefinerConfig
from talkingface.photo.lids import LidSkin, lid_skin
from talkingface.photo.mouth import MOUTH_PREFIX, OpenMouth, stored_mouth
from talkingface.photo.refine import Drawn, NoRefiner, Refiner, View, composite_residual, look_at, make_view
from talkingface.photo.rig import MAX_SHIFT, NO_GAINS, Rig, load_rig
from talkingface.photo.scene import Scene, face_unit, make_scene
from talkingface.photo.window import window_at, window_side
from talkingface.video.background import make_background


@dataclass(slots=True)
class _Batch:
    start: int
    count: int
    rgb: np.ndarray
    masks: np.ndarray | None
    views: list[View]


PARTS = ("rgb", "matte", "landmarks", "resting", "rotation", "scale", "translation")
"""The tensors of an avatar that a photo is drawn from; see `photo.avatar.photo_tensors`."""


@dataclass(frozen=True, kw_only=True)
class PhotoSession:
    """A photo ready to be drawn before one background: everything that is paid once for a face.

    `scene` and how it rests, uint8 `still` [H, W, 3]; `rig` with the room that the picture leaves; the `mouth` behind
    closed lips, and the person's mouth open in another picture, `inside`, if there is one; the skin of shut `lids`;
    `triangles` that show the person; the `region` that can change; the `side` of the refiner's window.
    Nothing changes it: systems and threads share it.
    """

    rgb: np.ndarray
    still: np.ndarray
    scene: Scene
    rig: Rig
    mouth: HiddenMouth
    inside: OpenMouth | None
    lids: LidSkin
    triangles: np.ndarray
    region: Box
    side: int


_OPEN = Kept[PhotoSession](4)


def open_photo(tensors: Mapping[str, np.ndarray], background: str = "keep") -> PhotoSession:
    """The session of an avatar's photo, from its tensors (`PARTS`): made once for equal contents, whoever asks.

    `background`: see `Controls`.

    Example: `PhotoRenderer(open_photo(avatar.tensors, controls.background), refiner, controls)`
    """
    names = [*PARTS, *sorted(name for name in tensors if name.startswith(MOUTH_PREFIX))]
    key = array_digest([*(tensors[name] for name in names), tensors.get("mouth_gains", NO_GAINS)])
    return _OPEN.get((key, background_key(background)), lambda: make_session(tensors, background))


def make_session(tensors: Mapping[str, np.ndarray], background: str = "keep") -> PhotoSession:
    """The same, made anew and not kept."""
    rgb, points = tensors["rgb"], tensors["landmarks"]
    alpha = tensors["matte"].astype(np.float32) / 255
    scene, still = make_scene(rgb, points, alpha), rgb
    rig = replace(load_rig(tensors), room=scene.room())
    if background != "keep":
        scene, still = _on_other_background(scene, rgb, points, alpha, background)
    return PhotoSession(
        rgb=rgb,
        still=still,
        scene=scene,
        rig=rig,
        mouth=hidden_mouth(rgb, points),
        inside=stored_mouth(tensors),
        lids=lid_skin(scene.person, points),
        triangles=showing(scene),
        region=moving_region(scene),
        side=window_side(points),
    )


class PhotoRenderer:
    """Draws motion of space `mesh478` onto a photo."""

    def __init__(self, photo: PhotoSession, refiner: Refiner, controls: Controls) -> None:
        self._refiner, self._controls, self._pace = refiner, controls, PACES[controls.delay]
        self._scene, self._rig, self._mouth, self._triangles = photo.scene, photo.rig, photo.mouth, photo.triangles
        self._lids, self._region, self._side = photo.lids, photo.region, photo.side
        points = photo.scene.points
        self._photo = look_at(photo.rgb, points, refiner.config, photo.still, photo.inside or refiner.mouth_for(points))
        self._crop = head_box(points, photo.scene.size) if controls.crop == "head" else None

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return ordered_map_with(
            lambda: Drawer(self._scene, self._mouth, self._triangles, self._lids),
            lambda drawer, batch: self._refine(self._draw(drawer, *batch)),
            batches(skip_frames(motions, first), self._pace.batch),
            self._pace.workers,
        )

    def _draw(self, drawer: Drawer, start: int, motion: Motion) -> _Batch:
        count = len(motion)
        rgb = np.repeat(self._photo.still[None], count, axis=0)
        transparent = self._controls.background == "transparent"
        masks = np.zeros((count, *rgb.shape[1:3]), np.uint8) if transparent else None
        views = []
        for k in range(count):
            pose = None if motion.pose is None else motion.pose[k]
            closure = 0.0 if motion.blink is None else float(motion.blink[k, 0])
            gaze = None
            if motion.gaze is not None:
                gaze = self._scene.eyes.shift(motion.gaze[k], self._rig.movement(pose).rotation)
                closure = min(closure + self._scene.eyes.lids(gaze), 1.0)
            target, rigid = self._rig.target(motion.expression[k], pose, closure)
            alpha = drawer.draw(target, rigid, rgb[k], self._region if rigid.body is None else None, gaze)
            if masks is not None:
                masks[k] = alpha
            side = self._side if rigid.body is None else round(self._side * rigid.body.scale)
            window = window_at(target, side, self._refiner.config.crop_px)
            drawn = Drawn(picture=rgb[k], alpha=alpha, source=self._scene.points, target=target)
            views.append(make_view(drawn, self._photo, window, self._refiner.config.mouth_px))
        return _Batch(start, count, rgb, masks, views)

    def _refine(self, drawn: _Batch) -> Frames:
        views = drawn.views + [drawn.views[-1]] * (self._pace.batch - drawn.count)
        face, mouth = self._refiner.changes(views)
        for k in range(drawn.count):
            composite_residual(drawn.rgb[k], self._photo.still, views[k], face[k], mouth[k])
        if self._crop is None:
            return Frames(rgb=drawn.rgb, mask=drawn.masks, start=drawn.start)
        x0, y0, x1, y1 = self._crop
        part = None if drawn.masks is None else np.ascontiguousarray(drawn.masks[:, y0:y1, x0:x1])
        return Frames(rgb=np.ascontiguousarray(drawn.rgb[:, y0:y1, x0:x1]), mask=part, start=drawn.start)


def moving_region(scene: Scene) -> Box:
    """The part of the picture (x0, y0, x1, y1) that can change."""
    shares = np.concatenate(
        [np.ones(len(scene.triangles_points) - len(scene.outer)), scene.head_share + scene.jaw_share.sum(1)]
    )
    moving = (shares[scene.triangles] > 1e-3).any(1)
    corners = scene.triangles_points[np.unique(scene.triangles[moving])]
    margin = MAX_SHIFT * 0.5 * face_unit(scene.points)
    low, high = corners.min(0) - margin, corners.max(0) + margin
    width, height = scene.size
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0]) + 1), min(height, int(high[1]) + 1)


def _on_other_background(
    scene: Scene, rgb: np.ndarray, points: np.ndarray, alpha: np.ndarray, background: str
) -> tuple[Scene, np.ndarray]:
    """The scene before another background, its colours freed of the old one; and the resting picture."""
    from talkingface.face.matte import unmix_colours
    from talkingface.photo.scene import with_face

    alpha = with_face(alpha, points)
    own = unmix_colours(rgb, alpha, scene.background)
    person = np.dstack([own * alpha[..., None], alpha * 255]).round().astype(np.uint8)
    if background == "transparent":
        behind = near_colours(own, alpha)  # no other colour is near the edge, so no player can mix one in
    else:
        behind = make_background(background, scene.size)
    scene = replace(scene, person=np.ascontiguousarray(person), background=behind)
    still = cv2.convertScaleAbs(person[..., :3] + behind * (1 - alpha[..., None]))
    return scene, still


_REFINERS = Kept[Refiner](2)


def load_refiner(weights: str, device: str = "cpu") -> Refiner:
    """The refiner of weights that have one, for systems whose own have none; loaded once. "": one that changes nothing.

    Raises WeightsError.
    """
    if not weights:
        return NoRefiner(RefinerConfig())
    ref = find_weights(weights)

    def load() -> Refiner:
        loaded = load_weights(ref)
        try:
            config = from_dict(RefinerConfig, loaded.card["config"]["refiner"])
        except (KeyError, TypeError, UsageError) as error:
            raise WeightsError(f"weights {weights} hold no refiner; name others") from error
        return Refiner(loaded.tensors, config, device)

    return _REFINERS.get((content_hash(ref.folder / "card.json"), device), load)
