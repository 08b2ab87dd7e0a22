"""A small clip that is already taken apart: a ball that says nothing, before a wall, on shoulders."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from talkingface.core.arrays import save_arrays
from talkingface.face.person_parts import Parts
from talkingface.systems.geneface.official.material import PARTS, RECORD, VIDEO, FieldClip, FieldView, view_cameras
from talkingface.video.image import write_image
from talkingface.video.stored import store_frames

SIDE, COUNT = 48, 16
UNIT_CM = 8.7


def make_field_clip(folder: Path) -> FieldClip:
    """Written to `folder`, and loaded."""
    (folder / PARTS).mkdir(parents=True)
    rng = np.random.default_rng(0)
    plate = np.full((SIDE, SIDE, 3), (60, 120, 160), np.uint8)
    shifts = np.round(3 * np.sin(np.arange(COUNT) / 3)).astype(int)
    y, x = np.mgrid[:SIDE, :SIDE]
    pictures, faces, lips = [], [], []
    for number, shift in enumerate(shifts):
        head = (x - 24 - shift) ** 2 + (y - 20) ** 2 < 100
        torso = (y > 32) & ~head
        picture = plate.copy()
        picture[head], picture[torso] = (220, 170, 140), (30, 30, 80)
        picture[head & (y > 22) & (y < 26)] = (150, 40, 40)
        pictures.append(picture)
        parts = Parts(head=head, neck=np.zeros_like(head), torso=torso).numbers
        write_image(folder / PARTS / f"{number:05d}.png", np.repeat(parts[..., None], 3, -1))
        faces.append((14 + shift, 10, 20, 20))
        lips.append((18, 30, 18 + shift, 30 + shift))
    store_frames(folder / VIDEO, pictures, (SIDE, SIDE))
    view = FieldView(x=0, y=0, scale=1.0, side_px=SIDE)
    scale, focal = np.full(COUNT, 10.0), 10 * 0.7 * 100 / UNIT_CM
    place = np.stack([24 + shifts, np.full(COUNT, 16)], 1)
    test = np.arange(COUNT) >= 12
    clip = FieldClip(
        folder=folder,
        cameras=view_cameras(np.broadcast_to(np.eye(3), (COUNT, 3, 3)), scale, place, view, focal, UNIT_CM),
        focal=np.array(focal),
        landmarks=rng.normal(size=(COUNT, 204)).astype(np.float32),
        faces=np.array(faces),
        lips=np.array(lips),
        train=~test,
        test=test,
        view=np.array([0, 0, 1.0, SIDE]),
        plate=plate,
        samples=rng.normal(size=640 * COUNT).astype(np.float32) * 0.1,
    )
    save_arrays(folder / RECORD, **{e.name: getattr(clip, e.name) for e in fields(clip) if e.name != "folder"})
    return FieldClip.load(folder)
