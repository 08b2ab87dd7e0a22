"""What a person hides of the background, guessed: edges are continued along their direction, the rest is smooth.

A structure tensor says how the edges run around the hole, and is spread into it. From every hidden pixel two lines
follow its direction, one each way, to where the background is seen; the colours there are mixed by distance. Where
there are no edges, a membrane over what is seen gives a smooth fill. The grain of what is seen goes on over it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numba import types

from talkingface.core.kernels import kernel

SEEN_ALPHA = 0.02
"""Opacity up to which a pixel shows the background alone."""
BESIDE = 1 / 85
"""Of the longer side: as far beside the person colours are not taken for the background's: there is hair that the matte
missed."""
STRAND_PX = 512
"""Strands of hair that the matte missed are looked for at this size."""
STRAND_REACH, STRAND_WIDTH = 1 / 12, 1 / 60
"""Of the longer side: how far from the person they reach, and how wide they are at most."""
STRAND_EXCESS = (14.0, 4.0)
"""How much a strand differs from the background behind it at least: levels, and deviations of that background."""
GRAIN_PX, MOST_GRAIN = 1.5, 3.0
"""What is finer than this, in pixels, is grain; more than so many of its deviations is something else."""
GRAINY = (0.55, 0.75)
"""Deviation by the median over that by squares: from which what is fine counts as grain, and as nothing else. Edges,
which must not be mirrored, make it small."""
MEMBRANE_PX, STEPS = 40, 24
"""Longest side of the coarsest membrane, and how often each one is smoothed."""
SMOOTH_PX = 320
"""The smooth fill is made at this size: it has no detail to show."""
TRACED_PX = 256
"""Lines are followed at this size; the colours at their ends are taken from the whole picture."""
FAR = 0.16
"""Of the longer side: from there on behind the person the smooth fill takes over. No head turns that far."""
LEAST_EDGE = 80.0
"""Mean square of the gradient, levels squared, from which edges are continued."""
GRAIN, VARIATION, NEARBY = 3.0, 2.0, 0.025
"""How far the seen background may differ from the filled one: levels, and deviations of the background nearby (of the
longer side)."""
STRAND = (0.9, 0.98)
"""Cosines between a difference from the background and the way to the person's colours: from which it may be hair, and
from which it is."""
SEEN_THROUGH = (0.4, 0.8)
"""Opacities between which less and less is seen of the background."""
_STEP = 0.75


def fill_background(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """`rgb` with the person (alpha > 0) painted over from around: uint8 [H, W, 3]."""
    h, w = rgb.shape[:2]
    beside = 2 * max(1, round(BESIDE * max(h, w))) + 1
    hole = cv2.dilate((alpha > SEEN_ALPHA).astype(np.uint8), np.ones((beside, beside), np.uint8))
    hole |= _strands(rgb, hole)
    size = _within(SMOOTH_PX, w, h)
    hole_small = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    if hole_small.all():
        return rgb.copy()
    known = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    filled = cv2.resize(_membrane(known, hole_small == 0), (w, h), interpolation=cv2.INTER_LINEAR)
    filled = _continue_edges(rgb, hole, filled) + _grain(rgb, hole)
    edge = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), max(1.0, max(h, w) / 300))[..., None]
    edge = np.where(hole[..., None] > 0, 1.0, edge)
    return np.round(rgb * (1 - edge) + filled.clip(0, 255) * edge).astype(np.uint8)


def _strands(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Thin things before a plain background that grow out of the person: uint8 [H, W]. Hair that the matte missed would
    stay behind there when the head turns."""
    h, w = rgb.shape[:2]
    size = _within(STRAND_PX, w, h)
    person = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    near = (cv2.distanceTransform(1 - person, cv2.DIST_L2, 3) <= STRAND_REACH * max(size)).astype(np.uint8)
    few = _within(STRAND_PX // 4, w, h)
    known = cv2.resize(near, few, interpolation=cv2.INTER_AREA) == 0
    if not known.any():
        return np.zeros_like(hole)
    picture, small = (cv2.resize(rgb, s, interpolation=cv2.INTER_AREA).astype(np.float32) for s in (size, few))
    behind = cv2.resize(push_pull(small, known), size)
    deviation = cv2.resize(_deviation(small, known, max(few) / 16), size)
    levels, deviations = STRAND_EXCESS
    other = np.abs(picture - behind).max(-1) > levels + deviations * deviation
    other = (other & (near > person)).astype(np.uint8)
    width = 2 * round(STRAND_WIDTH * max(size)) + 1
    thin = cv2.subtract(other, cv2.morphologyEx(other, cv2.MORPH_OPEN, np.ones((width, width), np.uint8)))
    if not thin.any():
        return np.zeros_like(hole)
    count, found = cv2.connectedComponents(cv2.bitwise_or(thin, person))
    labels = np.asarray(found, np.int64)
    grows = np.zeros(count, np.uint8)
    grows[labels[person > 0]] = 1
    strands = cv2.dilate(grows[labels] * thin, np.ones((3, 3), np.uint8))
    return cv2.resize(strands, (w, h), interpolation=cv2.INTER_NEAREST)


def _deviation(picture: np.ndarray, known: np.ndarray, sigma: float) -> np.ndarray:
    """Deviation of the `known` pixels of float32 [H, W, 3] around each one, in the channel that varies most: [H, W]."""
    weight = known.astype(np.float32)
    share = cv2.GaussianBlur(weight, (0, 0), sigma) + 1e-3
    mean, square = (
        cv2.GaussianBlur(power * weight[..., None], (0, 0), sigma) / share[..., None] for power in (picture, picture**2)
    )
    return np.sqrt((square - mean**2).clip(0).max(-1))


def _membrane(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """`values` [H, W, C] with the unknown ones the mean of their neighbours: float32 [H, W, C], from coarse to fine.

    A pyramid alone falls back to means of the whole picture right behind the border.
    """
    weight = known.astype(np.float32)
    masked = values.astype(np.float32) * weight[..., None]
    sizes = [(known.shape[1], known.shape[0])]
    while max(sizes[-1]) > MEMBRANE_PX:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    filled = None
    for level, size in reversed(list(enumerate(sizes))):
        share = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
        colour = cv2.resize(masked, size, interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-3)[..., None]
        seen = (share > 0.3)[..., None]
        filled = push_pull(colour, seen[..., 0]) if filled is None else cv2.resize(filled, size)
        np.copyto(filled, colour, where=seen)
        for _ in range(STEPS if level else STEPS // 4):
            filled = cv2.blur(filled, (3, 3), borderType=cv2.BORDER_REPLICATE)
            np.copyto(filled, colour, where=seen)
    return push_pull(values, known) if filled is None else filled


def _grain(rgb: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The grain of the background, mirrored into `hole` [H, W] at its border: float32 [H, W, 3], 0 outside."""
    h, w = hole.shape
    inside = cv2.dilate(hole, np.ones((7, 7), np.uint8))  # blurring mixes the person into what is this near
    fine = rgb - cv2.GaussianBlur(rgb, (0, 0), GRAIN_PX).astype(np.float32)
    grain = np.zeros_like(fine)
    if inside.all():
        return grain
    seen = fine[inside == 0][::7]
    spread = 1.4826 * float(np.median(np.abs(seen)))
    low, high = GRAINY
    share = np.clip((spread / max(float(seen.std()), 1e-6) - low) / (high - low), 0, 1)
    if share == 0:
        return grain
    depth, found = cv2.distanceTransformWithLabels(inside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.int64)
    border = np.zeros((labels.max() + 1, 2), np.int64)
    border[labels[inside == 0]] = np.argwhere(inside == 0)
    places = np.argwhere((hole > 0) & (depth < FAR * max(h, w)))
    mirrored = 2 * border[labels[places[:, 0], places[:, 1]]] - places
    last = np.array([h - 1, w - 1])
    mirrored = last - np.abs(last - np.abs(mirrored))  # and once more at the picture's border
    y, x = mirrored.clip(0, last).T
    grain[places[:, 0], places[:, 1]] = (
        share * fine[y, x].clip(-MOST_GRAIN * spread, MOST_GRAIN * spread) * (inside[y, x] == 0)[:, None]
    )
    return grain


def background_seen(rgb: np.ndarray, alpha: np.ndarray, own: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """The `filled` background, corrected by what is seen of it through and beside the person: uint8 [H, W, 3].

    `own` are the person's colours [H, W, 3]. A correction is believed as far as the background varies around there:
    before a plain wall a difference is hair that the matte has missed, before stripes it is a stripe.
    """
    a = alpha[..., None]
    solved = (rgb - a * own.astype(np.float32)) / np.maximum(1 - a, 0.2)
    # an opacity that is too high would ask for more than is seen: a bright line beside dark hair
    solved = np.clip(solved, np.minimum(filled, rgb), np.maximum(filled, rgb))
    believed = GRAIN + VARIATION * _variation(rgb, alpha)
    correction = np.clip(solved - filled, -believed, believed)
    seen = np.clip((SEEN_THROUGH[1] - a) / (SEEN_THROUGH[1] - SEEN_THROUGH[0]), 0, 1)
    seen = seen * (1 - _likeness(rgb - filled.astype(np.float32), own - filled.astype(np.float32)))
    return np.round(filled + seen * correction).clip(0, 255).astype(np.uint8)


def _likeness(difference: np.ndarray, to_person: np.ndarray) -> np.ndarray:
    """How far differences [H, W, 3] from the background go the way to the person's colours: [H, W, 1] in [0, 1]."""
    along = (difference * to_person).sum(-1, keepdims=True)
    lengths = np.linalg.norm(difference, axis=-1, keepdims=True) * np.linalg.norm(to_person, axis=-1, keepdims=True)
    return np.clip((along / np.maximum(lengths, 1) - STRAND[0]) / (STRAND[1] - STRAND[0]), 0, 1)


def _variation(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Standard deviation of the background that is seen around each pixel, in levels: float32 [H, W, 1]."""
    h, w = rgb.shape[:2]
    size = _within(SMOOTH_PX, w, h)
    known = cv2.resize((alpha <= SEEN_ALPHA).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    picture = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    sigma = NEARBY * max(size)
    weight = cv2.GaussianBlur(known, (0, 0), sigma) + 1e-3
    mean, square = (
        cv2.GaussianBlur(power * known[..., None], (0, 0), sigma) / weight[..., None] for power in (picture, picture**2)
    )
    deviation = np.sqrt((square - mean**2).clip(0).mean(-1))
    return cv2.resize(deviation, (w, h))[..., None]


def push_pull(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Smooth fill of the unknown pixels of [H, W, C] from the known ones over a pyramid (Gortler et al. 1996).

    float32 [H, W, C].
    """
    weight = known.astype(np.float32)
    levels: list[tuple[np.ndarray, np.ndarray]] = [(values.astype(np.float32) * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2 and (levels[-1][1] == 0).any():
        colour, weight = levels[-1]
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        levels.append(
            (
                cv2.resize(colour, size, interpolation=cv2.INTER_AREA),
                cv2.resize(weight, size, interpolation=cv2.INTER_AREA),
            )
        )
    colour, weight = levels.pop()
    filled = colour / np.maximum(weight, 1e-6)[..., None]
    while levels:
        colour, weight = levels.pop()
        size = (weight.shape[1], weight.shape[0])
        coarse = cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR)
        share = np.clip(4 * weight, 0, 1)[..., None]  # one known pixel of four counts in full: colours stay local
        filled = colour / np.maximum(weight, 1e-6)[..., None] * share + coarse * (1 - share)
    return filled


def _within(longest_px: int, width: int, height: int) -> tuple[int, int]:
    scale = min(1.0, longest_px / max(width, height))
    return max(8, round(width * scale)), max(8, round(height * scale))


def _continue_edges(rgb: np.ndarray, hole: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """`smooth` with the background's edges continued into `hole` [H, W]: float32 [H, W, 3]."""
    h, w = rgb.shape[:2]
    size = _within(TRACED_PX, w, h)
    unseen = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    depth = cv2.distanceTransform(unseen, cv2.DIST_L2, 5)
    far = FAR * max(size)
    direction, share = _directions(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), unseen)
    share = share * np.clip(2 - 2 * depth / far, 0, 1)
    places = np.ascontiguousarray(np.argwhere((unseen > 0) & (share > 0.01)))
    if not len(places):
        return smooth
    ends = np.zeros((*unseen.shape, 6), np.float32)
    _trace(direction, unseen, places, 3 * far, ends)
    ends = cv2.resize(ends, (w, h), interpolation=cv2.INTER_NEAREST)  # between two ends there is none
    y, x = np.mgrid[:h, :w].astype(np.float32)
    zoom = np.array([w / size[0], h / size[1]], np.float32)
    total = np.zeros((h, w, 1), np.float32)
    colour = np.zeros((h, w, 3), np.float32)
    for k in (0, 3):
        weight = ends[..., k + 2 : k + 3]
        place = ends[..., k : k + 2] * zoom
        seen = cv2.remap(rgb, x + place[..., 0], y + place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        colour += weight * seen
        total += weight
    share = cv2.resize(share.astype(np.float32), (w, h))[..., None] * np.clip(total * 1e4, 0, 1)
    return smooth + share * (colour / np.maximum(total, 1e-9) - smooth)


def _directions(rgb: np.ndarray, unseen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit directions [H, W, 2] along the edges of the seen part, spread to the unseen one; and how sure, [H, W]."""
    picture = cv2.GaussianBlur(rgb, (0, 0), 0.8).astype(np.float32)
    gx, gy = cv2.Scharr(picture, cv2.CV_32F, 1, 0) / 32, cv2.Scharr(picture, cv2.CV_32F, 0, 1) / 32
    valid = cv2.erode(1 - unseen, np.ones((5, 5), np.uint8)).astype(np.float32)
    tensor = np.stack([(gx * gx).sum(-1), (gx * gy).sum(-1), (gy * gy).sum(-1)], -1) * valid[..., None]
    sigma = max(unseen.shape) / 60
    weight = cv2.GaussianBlur(valid, (0, 0), sigma)
    tensor = cv2.GaussianBlur(tensor, (0, 0), sigma) / np.maximum(weight, 1e-4)[..., None]
    a, b, c = np.moveaxis(push_pull(tensor, weight > 0.02), -1, 0)
    spread = np.sqrt((a - c) ** 2 / 4 + b * b)
    angle = 0.5 * np.arctan2(2 * b, a - c) + np.pi / 2  # across the gradient
    coherence = 2 * spread / np.maximum(a + c, 1e-3)
    share = np.clip(2 * coherence - 0.5, 0, 1) * np.clip((a + c) / LEAST_EDGE - 0.5, 0, 1)
    return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32), share


_FIELD = types.Array(types.float32, 3, "C", readonly=True)
_MASK = types.Array(types.uint8, 2, "C", readonly=True)
_PLACES = types.Array(types.int64, 2, "C", readonly=True)


@kernel(types.void(_FIELD, _MASK, _PLACES, types.float64, types.float32[:, :, ::1]))
def _trace(direction, unseen, places, longest, ends):
    """Follow the direction from `places` [N, 2] (row, column) both ways out of the unseen part.

    `ends` [H, W, 6] gets, for each way, how far the end lies to the right and below, and its weight; 0: none was found
    within `longest` or the picture.
    """
    height, width = unseen.shape
    for k in range(len(places)):
        row, column = places[k]
        for way in range(2):
            x, y = float(column), float(row)
            last_x, last_y = 0.0, 0.0
            walked, found = 0.0, False
            while walked < longest:
                i, j = int(y + 0.5), int(x + 0.5)
                if i < 0 or j < 0 or i >= height or j >= width:
                    break
                if unseen[i, j] == 0:
                    found = True
                    break
                dx, dy = direction[i, j, 0], direction[i, j, 1]
                if walked == 0.0:
                    turned = way == 1
                else:
                    turned = dx * last_x + dy * last_y < 0
                if turned:
                    dx, dy = -dx, -dy
                x, y = x + _STEP * dx, y + _STEP * dy
                last_x, last_y = dx, dy
                walked += _STEP
            if found:
                ends[row, column, 3 * way] = x - column
                ends[row, column, 3 * way + 1] = y - row
                ends[row, column, 3 * way + 2] = 1 / (1 + walked) ** 2
