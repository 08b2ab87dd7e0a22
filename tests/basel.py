"""A stand-in for the Basel model: our own face in that model's file, axes and units. Nothing licensed is in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.io import savemat

from talkingface.face.bfm import CONVERTED, NUM_EXPRESSION, NUM_IDENTITY, NUM_TEXTURE
from talkingface.face.morphable import load_mesh478
from talkingface.face.subdivision import mesh478_surface
from talkingface.face.topology import FACE_68

UNIT = 0.9
"""Of 10 cm: what our unit, the distance of the outer eye corners, is about."""
OFFSET = np.array([0.1, 0.2, -0.3])
"""Where our origin lies in the file."""


def write_basel(folder: Path, seed: int = 0) -> Path:
    """`BFM_model_front.mat` with the 478 points of `mesh478`; its surplus columns do next to nothing."""
    rng, model = np.random.default_rng(seed), load_mesh478()
    up = np.array([1, -1, -1])

    def columns(basis: np.ndarray, count: int) -> np.ndarray:
        full = rng.normal(size=(*model.mean.shape, count)) * 1e-5
        full[..., : basis.shape[-1]] = UNIT * basis * up[:, None]
        return full.reshape(model.mean.size, count)

    folder.mkdir(parents=True, exist_ok=True)
    savemat(
        folder / CONVERTED,
        {
            "meanshape": (UNIT * model.mean * up + OFFSET).reshape(1, -1),
            "idBase": columns(model.identity, NUM_IDENTITY),
            "exBase": columns(model.expression, NUM_EXPRESSION),
            "meantex": rng.uniform(100, 200, (1, model.mean.size)),
            "texBase": rng.normal(size=(model.mean.size, NUM_TEXTURE)),
            "tri": mesh478_surface(0).visible + 1,
            "keypoints": np.array(FACE_68)[None] + 1,
        },
    )
    return folder / CONVERTED
