"""How clean the head's outline stays before stripes when the head turns.

Portraits are cut out with their mattes and put before stripes in two colours. The system sees the striped picture at
half its size, finds its own matte and background, and turns the head. The truth is made at the whole size by the same
mesh from the cut-out and the stripes, which it knows, and halved afterwards: so the error inside the face is what
sampling and refining cost, and the error at the outline is what matte and background add.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.data import portraits
from benchmarks.targets import Finding, Row, TargetJob, at_most
from talkingface import api
from talkingface.core.errors import FaceError
from talkingface.core.progress import report_progress
from talkingface.core.system import System
from talkingface.core.types import Controls, Motion, Photo
from talkingface.face.hidden_background import fill_background
from talkingface.face.matte import person_matte, unmix_colours
from talkingface.photo.composite import Drawer, HiddenMouth
from talkingface.photo.eyes import find_eyes
from talkingface.photo.rig import load_rig
from talkingface.photo.scene import Rigid, make_scene
from talkingface.video.image import read_image, write_image
from talkingface.video.resize import with_longest

TURN_DEG = 10.0
NEAR_PX = 6
"""Of the picture that the system sees."""
MOST_RATIO = 2.0
LONGEST_PX, LEAST_PX = 1024, 440
"""Of the whole picture; the system sees half."""
STRIPE = 1 / 32
"""Width of a stripe over the picture's longer side."""
COLOURS = ((196, 30, 48), (240, 240, 236))
RECOGNISED = 0.6
"""Opacity that a tenth of the picture must have, or the matte has found no person: there is no cut-out to trust."""
MOST_VAGUE = 0.12
"""Share of half-transparent pixels above which the cut-out holds pieces of the wall."""

_CHIN = 152


def outline(job: TargetJob) -> Finding:
    """All portraits that the matte can cut out, turned 10 degrees to both sides; the head above the chin counts."""
    system = api.load("portrait", weights=job.weights)
    faces = portraits(job.folder, job.limit)
    scores: list[dict[str, Any]] = []
    skipped = []
    for number, face in enumerate(faces):
        report_progress("portraits", number, len(faces))
        try:
            found = score(system, read_image(face).opaque(), job.sheets and job.sheets / f"outline-{face.stem}.png")
        except FaceError:
            found = None
        if found is None:
            skipped.append(face.stem)
        else:
            scores.append({"portrait": face.stem, **found})
    return Finding(rows=rows(scores), details={"portraits": scores, "skipped": skipped})


def rows(scores: list[dict[str, Any]]) -> list[Row]:
    """Medians over portraits, the worst one, and how many are above the target."""
    if not scores:
        return [Row(name="portraits", value=0)]
    ratios = {score["portrait"]: score["outline"] / max(score["inside"], 1.0) for score in scores}
    worst = max(ratios, key=ratios.__getitem__)

    def median(name: str) -> float:
        return float(np.median([score[name] for score in scores]))

    return [
        Row(name="portraits", value=len(scores)),
        Row(name="largest error in the face, levels, median", value=median("inside")),
        Row(name=f"largest error within {NEAR_PX} px of the outline, median", value=median("outline")),
        Row(name="the same where the photo shows what is behind, median", value=median("outline_seen")),
        Row(name="the same where the head hid it, median", value=median("outline_hidden")),
        at_most("outline over face, median", float(np.median([*ratios.values()])), MOST_RATIO),
        Row(name=f"outline over face, worst ({worst})", value=ratios[worst]),
        Row(name="portraits above twice", value=sum(ratio > MOST_RATIO for ratio in ratios.values())),
        Row(name=f"mean error within {NEAR_PX} px of the outline, median", value=median("outline_mean")),
        Row(name="mean error in the face, median", value=median("inside_mean")),
    ]


def score(system: System, rgb: np.ndarray, sheet: Path | None = None) -> dict[str, float] | None:
    """Largest colour errors in levels of a portrait uint8 [H, W, 3]; None: the matte does not find the person.

    Raises FaceError.
    """
    striped = put_before_stripes(rgb)
    if striped is None:
        return None
    found: dict[str, float] = {}
    pictures = []
    for turned in turn(system, striped):
        errors = errors_of(turned)
        found = {name: max(value, found.get(name, 0.0)) for name, value in errors.items()}
        pictures.append(np.concatenate([turned.truth, turned.drawn], axis=1))
    if sheet is not None:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        write_image(sheet, np.concatenate(pictures))
    return {name: round(value, 2) for name, value in found.items()}


class Striped(NamedTuple):
    """A person uint8 [H, W, 4], premultiplied, and the stripes uint8 [H, W, 3] behind; both sides are even."""

    person: np.ndarray
    stripes: np.ndarray

    def over(self) -> np.ndarray:
        """The person before the stripes, uint8 [H, W, 3]."""
        rest = 1 - self.person[..., 3:] / 255
        return np.round(self.person[..., :3] + rest * self.stripes).clip(0, 255).astype(np.uint8)


def put_before_stripes(rgb: np.ndarray) -> Striped | None:
    """Cut the person out; None where the matte finds none, or the picture is too small."""
    if max(rgb.shape[:2]) > LONGEST_PX:
        rgb = with_longest(rgb, LONGEST_PX)
    rgb = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
    alpha = person_matte(rgb)
    vague = ((alpha > 0.1) & (alpha < 0.9)).mean()
    if max(rgb.shape[:2]) < LEAST_PX or np.percentile(alpha, 90) < RECOGNISED or vague > MOST_VAGUE:
        return None
    own = unmix_colours(rgb, alpha, fill_background(rgb, alpha))
    person = np.dstack([own * alpha[..., None], alpha * 255]).round().astype(np.uint8)
    return Striped(person, make_stripes((rgb.shape[0], rgb.shape[1])))


def make_stripes(shape: tuple[int, int]) -> np.ndarray:
    """Slanting stripes in two colours with soft edges, uint8 [H, W, 3]."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    width = STRIPE * max(shape)
    wave = np.sin(np.pi * (x + 0.35 * y) / width) * width / np.pi
    share = np.clip(wave / 2 + 0.5, 0, 1)[..., None]  # two pixels from one colour to the other
    first, second = (np.array(colour, np.float64) for colour in COLOURS)
    return np.round(first + share * (second - first)).astype(np.uint8)


class Turned(NamedTuple):
    """What a system has drawn, what is true (uint8 [H, W, 3]), the true opacity [H, W], where the photo hid what is
    now seen (bool [H, W]), and the landmarks [478, 3]."""

    drawn: np.ndarray
    truth: np.ndarray
    alpha: np.ndarray
    uncovered: np.ndarray
    points: np.ndarray


def turn(system: System, striped: Striped) -> Iterator[Turned]:
    """The striped picture with its head turned to either side. Raises FaceError."""
    whole = striped.over()
    size = (whole.shape[1] // 2, whole.shape[0] // 2)
    photo = cv2.resize(whole, size, interpolation=cv2.INTER_AREA)
    own_alpha = cv2.resize(striped.person[..., 3], size, interpolation=cv2.INTER_AREA)
    avatar = system.fit(Photo(rgb=photo), size="native")
    angles = np.radians([[TURN_DEG, 0, 0], [-TURN_DEG, 0, 0]])
    poses = system.pose_from_angles(angles)
    rig = load_rig(avatar.tensors)
    expression = np.zeros((len(poses), rig.model.expression.shape[-1]), np.float32)
    motion = Motion(
        space=system.motion_space.name, expression=expression, pose=poses, blink=None, fps=system.SPEC.fps,
        space_version=system.motion_space.version,
    )  # fmt: skip
    drawn = [rgb for piece in system.render(avatar, iter([motion]), Controls(size="native")) for rgb in piece.rgb]
    small = make_scene(photo, avatar.tensors["landmarks"], own_alpha.astype(np.float32) / 255)
    scene = replace(
        small, person=striped.person, background=striped.stripes, points=2 * small.points, outer=2 * small.outer,
        eyes=find_eyes(2 * small.points, striped.stripes),
    )  # fmt: skip
    drawer = Drawer(scene, HiddenMouth(colour=np.zeros(3), share=0.0))
    for k, pose in enumerate(poses):
        target, rigid = rig.target(expression[k], pose, 0.0)
        out = np.empty_like(whole)
        doubled = Rigid(rotation=rigid.rotation, scale=rigid.scale, translation=2 * rigid.translation)
        alpha = cv2.resize(drawer.draw(2 * target, doubled, out), size, interpolation=cv2.INTER_AREA)
        truth = cv2.resize(out, size, interpolation=cv2.INTER_AREA)
        yield Turned(drawn[k], truth, alpha, (own_alpha > 127) & (alpha <= 127), target)


def errors_of(turned: Turned) -> dict[str, float]:
    """Largest colour error in levels: at the outline, there where the background was seen or hidden, and in the face;
    and the means at the outline and in the face.

    Differences are averaged over 3 x 3 pixels first, so that no single pixel decides.
    """
    difference = cv2.blur(turned.drawn.astype(np.float32) - turned.truth, (3, 3))
    error = np.abs(difference).max(-1)
    solid = (turned.alpha > 127).astype(np.uint8)
    within, beyond = (cv2.distanceTransform(mask, cv2.DIST_L2, 5) for mask in (solid, 1 - solid))
    counted = np.zeros(error.shape, bool)
    counted[NEAR_PX : max(int(turned.points[_CHIN, 1]), NEAR_PX), NEAR_PX:-NEAR_PX] = True
    near = counted & (within <= NEAR_PX) & (beyond <= NEAR_PX)
    hidden = cv2.dilate(turned.uncovered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    face = np.zeros(error.shape, np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(np.round(turned.points[:, :2]).astype(np.int32)), (1,))
    inside = counted & (face > 0) & (within > NEAR_PX)
    parts = {"outline": near, "outline_seen": near & ~hidden, "outline_hidden": near & hidden, "inside": inside}
    found = {name: float(error[part].max(initial=0.0)) for name, part in parts.items()}
    means = {f"{name}_mean": float(error[parts[name]].mean()) for name in ("outline", "inside") if parts[name].any()}
    return found | means
