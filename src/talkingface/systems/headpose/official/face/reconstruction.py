"""Reconstruction as in the original: R-Net coefficients of each frame's own crop, for users who imported its
weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from talkingface.core.errors import WeightsError
from talkingface.core.progress import report_progress
from talkingface.core.system import Weights
from talkingface.core.types import Track
from talkingface.core.weights import load_pickle_weights_only
from talkingface.face.camera import Camera
from talkingface.face.deep3d import CAMERA, light_of, split_coefficients
from talkingface.face.fit3d import VideoFit
from talkingface.face.fit_landmarks import HeadFit
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.reconstruction_net import ReconstructionNet, reconstruction_state
from talkingface.nn.state import named, tensors_of
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.face.convention import placement_in
from talkingface.systems.headpose.official.face.crop import crop_picture, fit_crops, five_points
from talkingface.systems.headpose.official.face.render_model import imported_part

BATCH = 8
# Standard deviation, in frames, of the smoothing over time: R-Net sees each frame alone, and its numbers tremble.
STEADIED = 1.0
_REACH = 6  # frames of padding: the filter's reach
RNET_SOURCE = "epoch_20.pth of Deep3DFaceRecon_pytorch, from github.com/sicxu/Deep3DFaceRecon_pytorch"


def load_reconstruction_net(path: str | Path, device: str = "cpu") -> ReconstructionNet:
    """The network of Deep3DFaceRecon's `epoch_20.pth` (key `net_recon`), ready to use. Raises WeightsError."""
    checkpoint = load_pickle_weights_only(path)
    try:
        if not isinstance(checkpoint, dict):
            raise ValueError("it is no table of tensors")
        net = ReconstructionNet()
        net.load_state_dict(reconstruction_state(checkpoint))
    except (ValueError, RuntimeError) as error:
        raise WeightsError(f"{path} does not hold R-Net: {error}; give Deep3DFaceRecon's epoch_20.pth") from error
    return net.eval().requires_grad_(False).to(device)


def stored_net(weights: Weights | None = None, device: str = "cpu") -> ReconstructionNet:
    """The imported R-Net, of `weights` or of the user's store, ready to use. Raises WeightsError without one."""
    found = imported_part("reconstruction", weights)
    if not found:
        raise WeightsError(
            f"reconstruction learned needs R-Net, which was not imported; get {RNET_SOURCE}, then run: talkingface "
            "weights import headpose FILES; or use reconstruction fitted"
        )
    net = ReconstructionNet()
    load_into(net, tensors_of(named("net", found), "net"), "the imported R-Net")
    return net.eval().requires_grad_(False).to(device)


def reconstruct(net: ReconstructionNet, crops: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Coefficients float32 [257] of each crop uint8 [224, 224, 3] made with its own transform (`crop_picture`)."""
    device = next(net.parameters()).device
    pictures = iter(crops)
    while batch := list(islice(pictures, BATCH)):
        rgb = torch.from_numpy(np.stack(batch)).to(device).permute(0, 3, 1, 2)
        with torch.no_grad():
            yield from net(rgb / 255).cpu().numpy()


def learned_fit(
    net: ReconstructionNet, model: LinearFaceModel, track: Track, pictures: Iterable[np.ndarray]
) -> VideoFit:
    """The person of a clip by R-Net, in place of `face.fit3d.fit_video`: the Basel model before one camera.

    The published camera sees each crop by itself; here size, place and angle along the line of sight are kept before
    the frame's camera. Shape and colours are the mean over all frames; frames of confidence 0 are interpolated.
    `pictures` uint8 [H, W, 3] are the frames of `track`.
    """
    crops = fit_crops(five_points(track.landmarks), track.size)
    seen = np.flatnonzero(track.confidence > 0)

    def cut() -> Iterator[np.ndarray]:
        for number, rgb in zip(range(len(track)), pictures, strict=False):
            report_progress("reconstructing the face in three dimensions", number, len(track))
            if track.confidence[number] > 0:
                yield crop_picture(rgb, crops[number])

    parts = split_coefficients(np.stack(list(reconstruct(net, cut()))))
    identity, texture = parts["identity"].mean(axis=0), parts["texture"].mean(axis=0)
    focal = CAMERA.focal_px / float(np.median([crops[k].scale for k in seen]))
    camera = Camera(focal, (track.size[0] / 2, track.size[1] / 2), track.size)
    placed = placement_in(model, parts["angles"], parts["translation"], [crops[k] for k in seen], camera)
    turn, translation, expression, light = (
        _steady(values, seen, len(track))
        for values in (placed[0], placed[1], parts["expression"], light_of(parts["light"]))
    )
    u, _, v = np.linalg.svd(turn)  # the nearest rotations: smoothed matrices are a little too small
    albedo = model.albedo(texture).astype(np.float32)
    return VideoFit(
        model=model.name,
        head=HeadFit(
            camera=camera,
            identity=identity.astype(np.float32),
            neutral=(model.mean + model.identity @ identity).astype(np.float32),
            expression=expression.astype(np.float32),
            rotation=u @ v,
            translation=translation,
        ),
        closure=np.zeros(len(track), np.float32),
        light=light.astype(np.float32),
        albedo=albedo,
        evidence=np.ones(len(albedo), np.float32),
    )


def _steady(values: np.ndarray, seen: np.ndarray, count: int) -> np.ndarray:
    """Numbers [N, ...] of the frames `seen` for all `count` frames, interpolated and smoothed."""
    from scipy.ndimage import gaussian_filter1d

    flat = values.reshape(len(values), -1).astype(np.float64)
    bridged = np.stack([np.interp(np.arange(count), seen, column) for column in flat.T], axis=1)
    reach = min(_REACH, count - 1)
    ends = np.pad(bridged, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")  # continues the movement
    smooth = gaussian_filter1d(ends, STEADIED, axis=0, mode="nearest")[reach : reach + count]
    return smooth.reshape(count, *values.shape[1:])
