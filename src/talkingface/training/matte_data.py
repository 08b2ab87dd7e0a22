"""People whose matte is known, put before backgrounds of all kinds: what the matte's refiner learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from talkingface.clips.manifest import ClipEntry
from talkingface.face.hidden_background import fill_background
from talkingface.face.key import Keyed, backdrop_hue, excess, key_out
from talkingface.face.matte import coarse_matte, refiner_input
from talkingface.video.jpeg import from_jpeg, to_jpeg
from talkingface.video.read import read_frames

LONGEST_PX = 1280
FRAMES, APART = 6, 10
"""Of each keyed clip: frames, and how far they are apart."""
UNEVEN = 0.5
"""Most deviation of a backdrop's excess over its mean: more than the benchmark allows, for the surface follows it."""
CANVAS_PX, CROP_PX = (208, 512), 192
"""Sides of the pictures that are made, and of the parts of them that a batch holds."""
MOST_PERSON = 0.02
"""Opacity that a part of a picture may have in the mean to be a background."""

STRAND_GROUPS = 6
"""Strands of one group have one colour."""

_Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Composite:
    """A picture uint8 [S, S, 3] and the person's true opacity float32 [S, S]."""

    rgb: np.ndarray
    alpha: np.ndarray


def keyed_people(clips: Iterable[ClipEntry]) -> dict[str, list[Keyed]]:
    """Keyed frames of the clips before an even backdrop, by identity."""
    people: dict[str, list[Keyed]] = {}
    for clip in clips:
        frames = (frame.rgb for frame in read_frames(clip.path, longest_px=LONGEST_PX))
        hue = None
        for rgb in islice(frames, 0, FRAMES * APART, APART):
            hue = backdrop_hue(rgb, UNEVEN) if hue is None else hue
            if hue is None:
                break
            people.setdefault(clip.identity, []).append(_without_hue(key_out(rgb, hue), hue))
    return people


def _without_hue(keyed: Keyed, hue: np.ndarray) -> Keyed:
    """Without the backdrop's colour in the person's own: rims of it would give the outline away."""
    person = keyed.person - np.maximum(excess(keyed.person, hue), 0)[..., None] * hue
    return Keyed(keyed.alpha, person.clip(0, 255).astype(np.float32))


def wall_pieces(pictures: Iterable[np.ndarray], seed: int, each: int = 8) -> list[np.ndarray]:
    """Parts of pictures uint8 [H, W, 3] that show no person, and the whole pictures with the person painted over."""
    rng = np.random.default_rng(seed)
    pieces = []
    for rgb in pictures:
        height, width = rgb.shape[:2]
        alpha = cv2.resize(coarse_matte(rgb), (width, height))
        total = cv2.integral(alpha)
        pieces.append(_shrunk(fill_background(rgb, alpha)))
        for _ in range(each):
            side = int(min(height, width) * rng.uniform(0.2, 0.7))
            x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
            inside = total[y + side, x + side] - total[y, x + side] - total[y + side, x] + total[y, x]
            if inside < MOST_PERSON * side * side:
                pieces.append(_shrunk(rgb[y : y + side, x : x + side]))
    return pieces


def _shrunk(rgb: np.ndarray) -> np.ndarray:
    scale = min(1.0, CANVAS_PX[1] / max(rgb.shape[:2]))
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def make_composite(
    people: Sequence[Sequence[Keyed]], walls: Sequence[np.ndarray], rng: _Rng, recoloured: bool = True
) -> Composite:
    """One person before one background, as a camera and a codec give it; `recoloured`: in clothes of any colour."""
    side = int(rng.integers(*CANVAS_PX))
    frames = people[int(rng.integers(len(people)))]
    keyed = _placed(frames[int(rng.integers(len(frames)))], side, rng)
    if rng.random() < 0.35:
        keyed = _with_strands(keyed, rng)
    keyed = _coloured(keyed, rng, recoloured)
    behind = _background(side, keyed, walls, rng).astype(np.float32)
    if rng.random() < 0.25:  # the person's shadow on the wall
        dx, dy = rng.uniform(-0.06, 0.06, 2) * side
        moved = cv2.warpAffine(keyed.alpha, np.array([[1, 0, dx], [0, 1, dy]], np.float32), (side, side))
        behind *= (
            1 - rng.uniform(0.2, 0.7) * cv2.GaussianBlur(moved, (0, 0), side * rng.uniform(0.008, 0.04))[..., None]
        )
    picture = keyed.over(behind.clip(0, 255))
    return Composite(_seen(picture, rng), keyed.alpha)


def _placed(keyed: Keyed, side: int, rng: _Rng) -> Keyed:
    """The person in a square, its lower border at or below the square's."""
    height, width = keyed.alpha.shape
    scale = side / height * rng.uniform(0.8, 1.5)
    turn, flip = np.radians(rng.normal(0, 4)), rng.choice([-1, 1])
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    matrix = np.array([[c * flip, -s, 0], [s * flip, c, 0]])
    foot = matrix[:, :2] @ (width / 2, height)
    spread = abs(scale * width - side) / 2 + 0.1 * side
    matrix[:, 2] = (side / 2 + rng.uniform(-spread, spread), side * (1 + rng.uniform(0, 0.2))) - foot
    planes = np.dstack([keyed.person, keyed.alpha])
    planes = cv2.warpAffine(
        planes, matrix, (side, side), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    alpha = planes[..., 3].clip(0, 1)
    # enlarged mattes are soft; a steeper ramp makes up for it
    sharp = ((alpha - 0.5) * rng.uniform(1.0, 1.0 + scale) + 0.5).clip(0, 1)
    colour = planes[..., :3] / np.maximum(alpha, 0.05)[..., None]
    return Keyed(sharp, (colour * sharp[..., None]).clip(0, 255))


def _with_strands(keyed: Keyed, rng: _Rng) -> Keyed:
    """Curved strands of hair beyond the head's outline, in the colours that they grow from."""
    side = len(keyed.alpha)
    solid = (keyed.alpha > 0.95).astype(np.uint8)
    outlines, _ = cv2.findContours(solid, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return keyed
    rim = max(outlines, key=len)[:, 0]
    rim = rim[(rim[:, 1] < rng.uniform(0.3, 0.8) * side) & (rim > 2).all(1) & (rim < side - 3).all(1)]
    if len(rim) < 20:
        return keyed
    slope = cv2.GaussianBlur(solid.astype(np.float32), (0, 0), 4)
    out_x, out_y = -cv2.Sobel(slope, cv2.CV_32F, 1, 0), -cv2.Sobel(slope, cv2.CV_32F, 0, 1)
    strands, colours = np.zeros((side, side), np.uint8), np.zeros((side, side, 3), np.float32)
    length, bend = side * rng.uniform(0.01, 0.07), rng.uniform(0.2, 1.5)
    heavy = rng.random() < 0.3
    for _ in range(STRAND_GROUPS):
        roots = rim[rng.integers(len(rim), size=int(rng.integers(2, 30)))]
        x, y = roots.T
        outward = np.arctan2(out_y[y, x], out_x[y, x]) + rng.normal(0, 0.6, len(roots))
        steps = np.linspace(0, 1, 7)
        angles = outward[:, None] + bend * rng.normal(size=(len(roots), 1)) * steps
        reach = length * rng.uniform(0.3, 1.5, (len(roots), 1, 1)) / len(steps)
        begin = roots - 3 * np.column_stack([np.cos(outward), np.sin(outward)])
        paths = begin[:, None] + np.cumsum(reach * np.stack([np.cos(angles), np.sin(angles)], -1), axis=1)
        mask = np.zeros_like(strands)
        thick, opacity = 2 if heavy else 1, int(rng.uniform(60, 256))
        cv2.polylines(mask, list(np.round(16 * paths).astype(np.int32)), False, (opacity,), thick, cv2.LINE_AA, 4)
        u, v = np.clip(np.round(begin).astype(int), 0, side - 1).T
        own = (keyed.person[v, u] / np.maximum(keyed.alpha[v, u], 0.3)[:, None]).mean(0)
        colours[mask > strands] = own * rng.uniform(0.7, 1.3)
        strands = np.maximum(strands, mask)
    alpha = np.maximum(keyed.alpha, strands.astype(np.float32) / 255)
    gained = (alpha - keyed.alpha)[..., None]
    return Keyed(alpha, (keyed.person + gained * colours).clip(0, 255 * alpha[..., None]))


def _coloured(keyed: Keyed, rng: _Rng, recoloured: bool) -> Keyed:
    """Another light and other colours."""
    own = (keyed.person / np.maximum(keyed.alpha, 1e-2)[..., None]).clip(0, 255) / 255
    if recoloured and rng.random() < 0.35:  # nobody wears blue before blue
        own = own[..., rng.permutation(3)]
    if recoloured and rng.random() < 0.5:
        tints = np.exp(rng.normal(0, 0.4, (3, 3, 3))).astype(np.float32)
        own = own * cv2.resize(tints, own.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0.2, 4)
    own = own ** np.exp(rng.normal(0, 0.35)) * np.exp(rng.normal(0, 0.15, 3) + rng.normal(0, 0.15))
    grey = own.mean(-1, keepdims=True)
    own = grey + (own - grey) * rng.uniform(0.3, 1.4)
    if rng.random() < 0.3:  # sharper than the clip's codec left it
        own = own + rng.uniform(0.3, 1.2) * (own - cv2.GaussianBlur(own, (0, 0), 1.5))
    return Keyed(keyed.alpha, (255 * own.clip(0, 1) * keyed.alpha[..., None]).astype(np.float32))


def _background(side: int, keyed: Keyed, walls: Sequence[np.ndarray], rng: _Rng) -> np.ndarray:
    kind = rng.random()
    if walls and kind < 0.4:
        piece = walls[int(rng.integers(len(walls)))]
        least = max(16, int(min(piece.shape[:2]) * rng.uniform(0.5, 1)))
        y, x = (int(rng.integers(max(1, n - least + 1))) for n in piece.shape[:2])
        picture = cv2.resize(piece[y : y + least, x : x + least], (side, side), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
    else:
        makers: tuple[Callable[[int, _Rng], np.ndarray], ...] = (_gradient, _stripes, _shapes, _texture)
        picture = makers[int(rng.integers(len(makers)))](side, rng)
    picture = picture.astype(np.float32)
    if rng.random() < 0.25:  # near the person's own colours
        solid = keyed.alpha > 0.95
        some = keyed.person[solid] if solid.any() else np.full((1, 3), 128.0)
        picture = picture * 0.25 + 0.75 * some[int(rng.integers(len(some)))] + rng.normal(0, 15)
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), side * np.exp(rng.uniform(-6, -3)))
    return picture.clip(0, 255)


def _palette(rng: _Rng, count: int) -> np.ndarray:
    """Colours [count, 3]: any, or a few shades around one."""
    if rng.random() < 0.5:
        return rng.uniform(0, 255, (count, 3))
    return (rng.uniform(0, 255, 3) + rng.normal(0, 25, (count, 3))).clip(0, 255)


def _gradient(side: int, rng: _Rng) -> np.ndarray:
    cells = int(rng.integers(2, 7))
    few = _palette(rng, cells * cells).reshape(cells, cells, 3).astype(np.float32)
    return cv2.resize(few, (side, side), interpolation=cv2.INTER_CUBIC)


def _stripes(side: int, rng: _Rng) -> np.ndarray:
    """Straight or waving stripes, hard or soft, as of flags, shelves and shutters."""
    y, x = np.mgrid[:side, :side] / side
    turn = rng.uniform(0, np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    along = along + rng.uniform(0, 0.04) * np.sin(rng.uniform(4, 30) * across + rng.uniform(0, 6))
    wave = np.sin(2 * np.pi * along * rng.uniform(3, 30))
    share = (wave * np.exp(rng.uniform(0, 3)) * 0.5 + 0.5).clip(0, 1)[..., None]
    first, second = _palette(rng, 2)
    fold = 1 + rng.uniform(0, 0.4) * np.sin(rng.uniform(3, 15) * across)[..., None]
    return (first + share * (second - first)) * fold


def _shapes(side: int, rng: _Rng) -> np.ndarray:
    picture = np.ascontiguousarray(_gradient(side, rng).clip(0, 255).astype(np.uint8))
    colours = _palette(rng, 40)
    for colour in colours[: int(rng.integers(4, 41))]:
        x, y = (int(v) for v in rng.integers(0, side, 2))
        reach, tint = int(side * rng.uniform(0.01, 0.2)), tuple(int(c) for c in colour)
        kind = int(rng.integers(4))
        if kind == 0:
            cv2.circle(picture, (x, y), reach, tint, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(picture, (x, y), (x + reach, y + int(reach * rng.uniform(0.3, 5))), tint, -1)
        elif kind == 2:
            end = (x + int(rng.normal(0, 3 * reach)), y + int(rng.normal(0, 3 * reach)))
            cv2.line(picture, (x, y), end, tint, int(rng.integers(1, 8)), cv2.LINE_AA)
        else:
            corners = (x, y) + rng.normal(0, reach, (int(rng.integers(3, 6)), 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], tint, cv2.LINE_AA)
    return picture


def _texture(side: int, rng: _Rng) -> np.ndarray:
    """Noise of several scales: plaster, leaves, cloth."""
    noise = np.zeros((side, side), np.float32)
    for cells in (4, 8, 16, 32, 64, 128):
        rough = rng.normal(0, rng.uniform(0, 1), (cells, cells)).astype(np.float32)
        noise += cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC)
    share = (noise * rng.uniform(0.2, 0.6) + 0.5).clip(0, 1)[..., None]
    first, second = _palette(rng, 2)
    return first + share * (second - first)


def _seen(picture: np.ndarray, rng: _Rng) -> np.ndarray:
    """What a lens, a sensor and a codec make of a picture."""
    if rng.random() < 0.06:
        picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.0))
    grain = rng.normal(0, rng.uniform(0, 5), (*picture.shape[:2], 1))
    picture = (picture + grain).clip(0, 255).astype(np.uint8)
    return from_jpeg(to_jpeg(picture, int(rng.integers(55, 98)))) if rng.random() < 0.6 else picture


def make_samples(composite: Composite, rng: _Rng, count: int = 2) -> list[dict[str, np.ndarray]]:
    """What the refiner sees of parts of a composite along the outline, float32 [5, S, S], and the truth [1, S, S]."""
    planes = refiner_input(composite.rgb, coarse_matte(composite.rgb))
    rows, columns = np.nonzero((composite.alpha > 0.05) & (composite.alpha < 0.95))
    return [_part(planes[0], composite.alpha, rows, columns, rng) for _ in range(count)]


def _part(
    planes: np.ndarray, alpha: np.ndarray, rows: np.ndarray, columns: np.ndarray, rng: _Rng
) -> dict[str, np.ndarray]:
    side = len(alpha)
    at = int(rng.integers(len(rows))) if len(rows) else 0
    middle = (rows[at], columns[at]) if len(rows) else (side // 2, side // 2)
    offset = rng.integers(-CROP_PX // 3, CROP_PX // 3, 2)
    y, x = (int(np.clip(m + o - CROP_PX // 2, 0, side - CROP_PX)) for m, o in zip(middle, offset, strict=True))
    return {
        "seen": np.ascontiguousarray(planes[:, y : y + CROP_PX, x : x + CROP_PX]),
        "truth": np.ascontiguousarray(alpha[None, y : y + CROP_PX, x : x + CROP_PX]),
    }
