"""A person's splats as arrays for an avatar's file: 8 bits where nothing is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talkingface.face.pose import Pose
from talkingface.face.subdivision import mesh478_surface
from talkingface.nn.quantised import dequantised, quantised
from talkingface.person.splats.layout import Layout
from talkingface.person.splats.material import Canvas, PersonMotion
from talkingface.video.jpeg import from_jpeg, to_jpeg

PLATE_QUALITY = 95
_LAYOUT = ("home", "spacing", "jaw", "eye")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSplats:
    """What `unpack` gives: `arrays` float32 by name, `rest` in the clip's pixels, `plate` uint8 [H, W, 3]."""

    arrays: dict[str, np.ndarray]
    layout: Layout
    canvas: Canvas
    rest: Pose
    plate: np.ndarray
    level: int


def pack(
    state: Mapping[str, np.ndarray], plate: np.ndarray, layout: Layout, level: int, canvas: Canvas,
    motion: PersonMotion, mean: np.ndarray, deviation: np.ndarray, learned: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Arrays of trained `Splats`, and of what else draws them.

    `state` is theirs, `plate` [3, H, W] in [0, 1] the background; `learned` bool [T]: frames that
    tell where lids and eyes rest.
    """
    rgb = (plate * 255 + 0.5).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    rest = motion.rest
    count, channels, basis = state["moves"].shape
    exact = {
        "rest": np.concatenate([rest.rotation.ravel(), [rest.scale], rest.translation]),
        "canvas": np.array([canvas.scale, *canvas.size, level, layout.skin, layout.sheets], np.float64),
        "neutral": motion.neutral, "mean": mean, "deviation": deviation, "home": layout.home,
    }  # fmt: skip
    small = {
        **{name: getattr(layout, name) for name in _LAYOUT[1:]},
        "closure": np.median(motion.closure[learned]).reshape(1),
        "look": np.median(motion.look[learned], 0),
        **{name: value for name, value in state.items() if name not in ("plate", "moves")},
    }
    return {
        **{name: value.astype(np.float32) for name, value in exact.items()},
        **{name: value.astype(np.float16) for name, value in small.items()},
        **quantised({"moves": state["moves"].reshape(count * channels, basis)}),
        "plate": np.frombuffer(to_jpeg(np.ascontiguousarray(rgb), PLATE_QUALITY), np.uint8),
    }


def unpack(tensors: Mapping[str, np.ndarray]) -> StoredSplats:
    """The inverse of `pack`. Raises KeyError or ValueError for other arrays."""
    plate = from_jpeg(tensors["plate"].tobytes())
    arrays = dequantised({name: value for name, value in tensors.items() if name != "plate"})
    scale, width, height, level, skin, sheets = (float(v) for v in arrays["canvas"])
    surface = mesh478_surface(int(level))
    layout = Layout(
        triangles=np.ascontiguousarray(surface.triangles, dtype=np.int32), skin=int(skin), sheets=int(sheets),
        home=arrays["home"], spacing=arrays["spacing"], jaw=arrays["jaw"], eye=arrays["eye"],
        follow=arrays["follow"],
    )  # fmt: skip
    rest = arrays["rest"].astype(np.float64)
    count = layout.surface + len(layout.home)
    if int(skin) != len(surface.skin) or len(arrays["opacity"]) != count or len(arrays["moves"]) != 5 * count:
        raise ValueError("the splats do not fit their mesh")
    if plate.shape[:2] != (int(height), int(width)):
        raise ValueError("the background has another size than the pictures")
    return StoredSplats(
        arrays=arrays,
        layout=layout,
        canvas=Canvas(scale=scale, size=(int(width), int(height))),
        rest=Pose(rotation=rest[:9].reshape(3, 3), scale=float(rest[9]), translation=rest[10:13]),
        plate=plate,
        level=int(level),
    )
