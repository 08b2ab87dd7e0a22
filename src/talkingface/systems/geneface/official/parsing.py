"""A person's clip taken apart, as published: head, neck, torso and background, and what lies behind each of them.

Pictures are uint8 [H, W, 3]; masks are bool [H, W]. The order of the colours does not matter here.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import torch
from scipy.ndimage import binary_dilation, distance_transform_edt

from talkingface.face.person_parts import Parts
from talkingface.nn.bisenet import BiSeNet

HEAD, NECK, TORSO = (*range(1, 14), 17, 18), (14, 15), (16,)
"""Numbers of `nn.bisenet.LABELS`."""
_COLOURS = {HEAD: (255, 0, 0), NECK: (0, 255, 0), TORSO: (0, 0, 255)}  # BGR
PARSED_PX = 512
"""Side of the pictures that the public weights of the parsing network know."""
MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
SURE_PX = 5.0  # pixels from the person at which the background counts as seen
_FADE = 0.98
_TORSO_ROWS, _NECK_ROWS, _NECK_MOVED, _NECK_DILATED = 9, 53, 4, 3


def parts_of_labels(labels: np.ndarray) -> Parts:
    """The parts in a parsing [H, W] of `nn.bisenet.LABELS`."""
    head, neck, torso = (np.isin(labels, numbers) for numbers in (HEAD, NECK, TORSO))
    return Parts(head=head, neck=neck, torso=torso)


@torch.no_grad()
def parse_parts(network: BiSeNet, rgb: np.ndarray) -> Parts:
    """The parts of a picture uint8 [H, W, 3], found by a network that the user brought, at the size it knows."""
    small = cv2.resize(rgb, (PARSED_PX, PARSED_PX), interpolation=cv2.INTER_LINEAR).astype(np.float32) / 255
    device = next(network.parameters()).device
    given = torch.from_numpy(((small - MEAN) / STD).transpose(2, 0, 1)[None]).float().to(device)
    labels = network(given)[0].argmax(0).to(torch.uint8).cpu().numpy()
    return parts_of_labels(cv2.resize(labels, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST))


def parsing_picture(labels: np.ndarray) -> np.ndarray:
    """A parsing [H, W] as the published data show it, in BGR: head blue, neck green, torso red, the rest white."""
    made = np.full((*labels.shape, 3), 255, np.uint8)
    for numbers, colour in _COLOURS.items():
        made[np.isin(labels, numbers)] = colour
    return made


def background_plate(frames: Iterable[tuple[np.ndarray, Parts]]) -> np.ndarray:
    """The background without the person, of pictures and their parts.

    A pixel is taken from the frame in which the person is farthest from it; what is never more than five pixels away
    gets the colour of the nearest pixel that is. At least one frame is needed.
    """
    best, plate = None, None
    for picture, parts in frames:
        # OpenCV's distances are a little off, which decides differently where frames are equally far
        away = np.asarray(distance_transform_edt(parts.background))
        if best is None or plate is None:
            best, plate = away, picture.copy()
            continue
        better = away > best
        best[better], plate[better] = away[better], picture[better]
    if best is None or plate is None:
        raise ValueError("the background needs at least one frame")
    unsure = best <= SURE_PX
    if unsure.any() and not unsure.all():
        rows, columns = np.asarray(distance_transform_edt(unsure, return_distances=False, return_indices=True))
        plate = plate[rows, columns]
    return plate


def without_background(picture: np.ndarray, parts: Parts, plate: np.ndarray) -> np.ndarray:
    """The picture over the clean background: the published ground truth."""
    return np.where(parts.background[..., None], plate, picture)


def head_picture(picture: np.ndarray, parts: Parts, plate: np.ndarray) -> np.ndarray:
    """The head alone over the clean background."""
    return np.where(parts.head[..., None], picture, plate)


def torso_picture(picture: np.ndarray, parts: Parts, plate: np.ndarray) -> np.ndarray:
    """Neck and torso with what the head hides of them made up, as colours and opacity, uint8 [H, W, 4].

    Colours go on upwards from the edge below the head, getting darker; on the neck they are blurred.
    """
    base = np.where(parts.head[..., None], plate, without_background(picture, parts, plate))
    made = base.copy()
    seen = parts.neck | parts.torso
    columns, rows = _below_head(parts.torso, parts.head)
    if len(columns):
        seen |= _faded_up(made, base, columns, rows, _TORSO_ROWS)
    neck = binary_dilation(parts.neck, np.ones((3, 1), bool), iterations=_NECK_DILATED)
    columns, rows = _below_head(neck, parts.head)
    if len(columns):
        counts = neck.sum(0)[columns]
        lower = rows + np.minimum(counts - 1, _NECK_MOVED)
        written = _faded_up(made, base, columns, lower, _NECK_ROWS)
        blurred = cv2.GaussianBlur(made, (5, 5), 4)
        made[written] = blurred[written]
        seen |= written
    made[~seen] = 0
    return np.concatenate([made, np.where(seen, 255, 0).astype(np.uint8)[..., None]], -1)


def _below_head(mask: np.ndarray, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns [K] and rows [K] of a mask's topmost pixels that lie directly below the head."""
    above = np.roll(head, 1, axis=0)
    above[0] = False
    columns = np.flatnonzero(mask.any(0))
    rows = mask.argmax(0)[columns]
    touching = above[rows, columns]
    return columns[touching], rows[touching]


def _faded_up(made: np.ndarray, base: np.ndarray, columns: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Write the colours at `rows` upwards over `count` rows, ever darker; gives the mask of what was written."""
    written = np.zeros(made.shape[:2], bool)
    colours = base[rows, columns].astype(np.float64)
    for k in range(count):
        inside = rows - k >= 0
        made[rows[inside] - k, columns[inside]] = (colours[inside] * _FADE**k).astype(np.uint8)
        written[rows[inside] - k, columns[inside]] = True
    return written
