"""The compact networks at work: codes from sound and pictures, pictures from codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from talkingface.core.device import likes_bfloat16
from talkingface.core.types import Track
from talkingface.face.topology import FACE_OVAL, LIPS
from talkingface.nn.state import tensors_of
from talkingface.systems.pcavs.alignment.align import EYE_POINTS_LEFT, EYE_POINTS_RIGHT, alignment, three_points
from talkingface.systems.pcavs.codes import Codes, Face, Square
from talkingface.systems.pcavs.compact.networks import (
    Drawn,
    Generator,
    Identity,
    IdentityNet,
    MouthNet,
    PoseNet,
    SpeechNet,
    signed_mouths,
    signed_pictures,
)
from talkingface.systems.pcavs.compact.views import (
    EYES,
    mouth_view,
    on_square,
    pose_view,
    square_matrix,
    steadying,
    view,
)
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.mel import mel_windows, speech_mel, voice_share
from talkingface.systems.pcavs.data.timing import audible_frames
from talkingface.systems.pcavs.init_weights import stir
from talkingface.systems.pcavs.pose.pose_features import track_facts
from talkingface.systems.pcavs.pose.pose_map import PoseMap

PARTED = 1.0
"""Change of the lips' gap, in units of `mouth_targets.MEASURE_SCALE`, from which they are another mouth."""
LIP_REACH = 0.12
"""How far around the lips that counts, in eye distances."""
FACE_REACH = 0.1
"""How far around the face its movement counts, likewise."""
INNER_FACE, INNER_REACH, EYE_REACH = 0.85, 0.04, 0.12
"""What may be painted: so much of the face's outline, about the middle, and so far around, less the eyes and so far
around them. Eyes, cheeks, hair and background only move: painted, they would get other colours, smears and halos."""
CALM = 0.05
"""Smoothing of the movement of hair and background, standard deviation in sides."""
MARGIN = 0.25
"""How much of the photo around the square the flow may fetch, in sides: better than smearing the square's edge."""
_CHUNK = 32
_HEAR_CHUNK = 256
NETWORKS = {
    "identity": IdentityNet, "mouth": MouthNet, "pose": PoseNet, "speech": SpeechNet, "generator": Generator,
}  # fmt: skip


def make_networks(config: PcavsConfig) -> dict[str, nn.Module]:
    """All five, fresh."""
    return {name: kind(config.codes, config.compact) for name, kind in NETWORKS.items()}


class CompactTalker:
    """See `talker.Talker`. `tensors`: the weights, or None for fresh ones."""

    def __init__(self, config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> None:
        self._config, self._device = config, device
        self._precise = not likes_bfloat16(device)
        self._map = None if tensors is None else PoseMap.load(tensors)
        networks = make_networks(config)
        if tensors is None:
            stir(networks)
        for name, network in networks.items():
            if tensors is not None:
                network.load_state_dict(tensors_of(tensors, name))
            network.eval().requires_grad_(False).to(device)
            if name != "speech":
                network.to(memory_format=torch.channels_last)
        self._networks = networks
        # as many rows as `hear` has: else silence that is heard would differ in the last digit, and a mouth never rest
        self.silence = self._hear(np.zeros((_HEAR_CHUNK, 1, 80, config.compact.mel_frames), np.float32))[0]

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """See `talker.Talker`."""
        count = audible_frames(len(samples))
        mel = speech_mel(samples)
        chunks = []
        for start in range(0, count, _HEAR_CHUNK):
            frames = np.arange(start, start + _HEAR_CHUNK)  # full chunks: a row must not depend on its neighbours
            chunks.append(self._hear(mel_windows(mel, frames, columns=self._config.compact.mel_frames)))
        said = np.concatenate([np.zeros((0, len(self.silence)), np.float32), *chunks])[:count]
        return self.silence + np.float32(self._config.mouth_gain * voice_share(mel)) * (said - self.silence)

    def _hear(self, windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return self._networks["speech"](torch.from_numpy(windows).to(self._device)).float().cpu().numpy()

    def read(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """See `talker.Talker`."""
        size = self._config.compact.size_px
        matrices = alignment(three_points(track.landmarks), track.confidence > 0)
        matrices[..., 2] += steadying(matrices)
        mouths: list[np.ndarray] = []
        poses: list[np.ndarray] = []
        found: list[tuple[np.ndarray, np.ndarray]] = []
        base = square_matrix(size)
        for rgb, points, matrix in zip(pictures, track.landmarks, matrices, strict=True):
            whole = joined(base, matrix)
            square = view(rgb, whole, size)
            placed = on_square(points[:, :2].astype(np.float64), whole, size)
            mouths.append(mouth_view(square, placed, self._config.compact.mouth_px))
            poses.append(pose_view(square, placed, self._config.compact.pose_px))
            if len(mouths) == _CHUNK:
                found.append(self._read(mouths, poses))
                mouths, poses = [], []
        if mouths:
            found.append(self._read(mouths, poses))
        mouth, pose = (np.concatenate(part) for part in zip(*found, strict=True))
        return Codes(mouth, self._followed(pose, track))

    def _followed(self, pose: np.ndarray, track: Track) -> np.ndarray:
        """Pose codes of a track: held as the network sees it on average, moved as the tracked points move.

        On people it has not seen the network errs by degrees, and it cannot see where in the picture a crop was.
        """
        if self._map is None or len(track) < 2:
            return pose
        return (pose.mean(axis=0) + track_facts(track) @ self._map.facts.T).astype(np.float32)

    def _read(self, mouths: list[np.ndarray], poses: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            mouth = self._networks["mouth"](signed_mouths(torch.from_numpy(np.stack(mouths)).to(self._device)))
            pose = self._networks["pose"](self._pictures(np.stack(poses)))
            return mouth.float().cpu().numpy(), pose.float().cpu().numpy()

    def _pictures(self, rgb: np.ndarray) -> Tensor:
        return signed_pictures(torch.from_numpy(rgb).to(self._device)).contiguous(memory_format=torch.channels_last)

    def face(self, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int) -> Face:
        """See `talker.Talker`."""
        return CompactFace(self, rgb, landmarks, matte, side)

    def know(self, square: np.ndarray, points: np.ndarray) -> tuple[Identity, Codes]:
        """Identity and codes ([1, M] and [1, P]) of a square uint8 [S, S, 3] with points [478, 2] in [-1, 1]."""
        with torch.inference_mode(), self._autocast():
            who = self._networks["identity"](self._pictures(square[None]))
        mouth = mouth_view(square, points, self._config.compact.mouth_px)
        pose = pose_view(square, points, self._config.compact.pose_px)
        return who, Codes(*self._read([mouth], [pose]))

    def opening(self, mouth: np.ndarray) -> np.ndarray:
        """How far mouths of codes [B, M] are open, [B], in units of `mouth_targets.MEASURE_SCALE`."""
        with torch.inference_mode():
            return self._networks["mouth"].facts(torch.from_numpy(mouth).to(self._device))[:, 0].float().cpu().numpy()

    def draw(self, who: Identity, own_pose: np.ndarray, mouth: np.ndarray, pose: np.ndarray) -> Drawn:
        """Frames from codes [B, M] and [B, P]."""
        own, said, held = (
            torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(self._device)
            for rows in (np.repeat(own_pose[None], len(mouth), 0), mouth, pose)
        )
        with torch.inference_mode(), self._autocast():
            return self._networks["generator"](who.repeated(len(mouth)), own, said, held)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=not self._precise)

    @property
    def size_px(self) -> int:
        """Side of what the networks see."""
        return self._config.compact.size_px


class CompactFace:
    """See `talker.Face`: a photo whose square is moved by the networks' flow at its own resolution.

    Only the inner face is painted. What the networks draw there for the photo's own codes would be the photo if they
    were perfect. By how much it is not is taken off every frame, carried along by the movement: at rest the photo is
    seen to the pixel. Lips that part or close are left alone: what is wrong with closed ones says nothing of an open
    mouth.
    """

    def __init__(
        self, talker: CompactTalker, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int
    ) -> None:
        self._talker = talker
        matrix = alignment(three_points(landmarks[None]))[0]
        small, large = (joined(square_matrix(size), matrix) for size in (talker.size_px, side))
        square = view(rgb, small, talker.size_px)
        points = on_square(landmarks[:, :2].astype(np.float64), small, talker.size_px)
        self._who, own = talker.know(square, points)
        self.rest = own.pose[0]
        room = round(MARGIN * side)
        wide = np.column_stack([large[:, :2], large[:, 2] + room])
        self._picture = view(rgb, wide, side + 2 * room).astype(np.float32)
        self._matte = None if matte is None else view(matte, wide, side + 2 * room)
        self.square = Square(matrix=large, side=side, own_colours=True)
        self._room, self._grid = room, pixel_grid(side)
        flow, mask, colour = (part[0] for part in _arrays(talker.draw(self._who, self.rest, own.mouth, own.pose)))
        self._own_flow, self._own_opening = flow, float(talker.opening(own.mouth)[0])
        lips, oval = points[list(LIPS)], points[list(FACE_OVAL)]
        inner = oval.mean(axis=0) + INNER_FACE * (oval - oval.mean(axis=0))
        self._lips, self._inner = soft_mask(lips, LIP_REACH, side), soft_mask(inner, INNER_REACH, side)
        for eye in (EYE_POINTS_LEFT, EYE_POINTS_RIGHT):
            self._inner *= 1 - soft_mask(points[list(eye)], EYE_REACH, side)
        self._face = soft_mask(oval, FACE_REACH, talker.size_px)  # as large as the flow
        still = self._picture[room : room + side, room : room + side]
        self._own_error = self._enlarged(1 - mask)[..., None] * (self._enlarged((colour + 1) * 127.5) - still)

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """See `talker.Face`."""
        parts = _arrays(self._talker.draw(self._who, self.rest, mouth, pose))
        parted = np.clip(np.abs(self._talker.opening(mouth) - self._own_opening) / PARTED, 0, 1)
        made = [self._compose(*(part[k] for part in parts), float(parted[k])) for k in range(len(mouth))]
        alpha = None if self._matte is None else np.stack([a for _, a in made])
        return np.stack([rgb for rgb, _ in made]), alpha

    def _compose(
        self, flow: np.ndarray, mask: np.ndarray, colour: np.ndarray, parted: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        half = np.float32(flow.shape[0] / 2)
        # where the resting flow leads to what this flow fetches: one step of a fixed point, exact at rest
        flow = flow - _fetched(self._own_flow, pixel_grid(flow.shape[0]) + (flow - self._own_flow) * half)
        flow = self._calm(flow)
        where = self._grid + self._enlarged(flow) * np.float32(self.square.side / 2)
        wide = where + np.float32(self._room)
        moved = _fetched(self._picture, wide)
        inner = _fetched(self._inner, where)
        box = _box(inner)
        blend, goal, at = (
            part[box] for part in (self._enlarged(1 - mask), self._enlarged((colour + 1) * 127.5), where)
        )
        painted = blend[..., None] * (goal - moved[box])
        error = _fetched(self._own_error, at) * (1 - parted * _fetched(self._lips, at))[..., None]
        moved[box] += inner[box][..., None] * (painted - error)
        rgb = cv2.convertScaleAbs(np.maximum(moved, 0))
        return rgb, None if self._matte is None else _fetched(self._matte, wide)

    def _calm(self, flow: np.ndarray) -> np.ndarray:
        """`flow` [S, S, 2], smooth beside the face: there training paints over what it does, and it ripples."""
        side = flow.shape[0]
        share = _fetched(self._face, pixel_grid(side) + flow * np.float32(side / 2))[..., None]
        return share * flow + (1 - share) * cv2.GaussianBlur(flow, (0, 0), CALM * side)

    def _enlarged(self, map_: np.ndarray) -> np.ndarray:
        # linear, the cells of the small map would show as facets at edges of lips
        return cv2.resize(map_, (self.square.side, self.square.side), interpolation=cv2.INTER_CUBIC)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns in which `mask` [h, w] is not 0, at least one of each."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    return slice(top, top + max(height, 1)), slice(left, left + max(width, 1))


def soft_mask(outline: np.ndarray, reach: float, side: int) -> np.ndarray:
    """1 within points [N, 2] in [-1, 1] and `reach` eye distances around them, 0 away: float32 [side, side]."""
    outline = (outline + 1) / 2 * side - 0.5
    mask = np.zeros((side, side), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline).astype(np.int32)), 1.0)
    reach *= EYES / 2 * side
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(reach) + 1,) * 2))
    return cv2.GaussianBlur(mask, (0, 0), reach / 2)


def _arrays(drawn: Drawn) -> tuple[np.ndarray, ...]:
    """Flow, mask and colour, channels last."""
    return tuple(t.float().permute(0, 2, 3, 1).cpu().numpy() for t in (drawn.flow, drawn.mask, drawn.colour))


def _fetched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`picture` at the pixel numbers `where` [h, w, 2]; beyond its edges the edge goes on."""
    return cv2.remap(picture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def pixel_grid(side: int) -> np.ndarray:
    """Pixel numbers (x, y), float32 [side, side, 2]."""
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)


def joined(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """The matrix [2, 3] that does `inner`, then `outer`."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])
