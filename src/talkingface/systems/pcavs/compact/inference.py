"""The compact networks in use: codes from sound and pictures, pictures from codes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import cv2
import numpy as np
import torch
from torch import Tensor

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.core.device import likes_bfloat16
from talkingface.core.types import Track
from talkingface.face.topology import FACE_OVAL, LIPS
from talkingface.nn.state import tensors_of
from talkingface.systems.pcavs.alignment.align import (
    EYE_POINTS_LEFT,
    EYE_POINTS_RIGHT,
    alignment,
    head_shifts,
    joined,
    photo_alignment,
    three_points,
)
from talkingface.systems.pcavs.alignment.crop import EYES, on_square, square_matrix, view
from talkingface.systems.pcavs.alignment.paste import Square
from talkingface.systems.pcavs.codes import Codes
from talkingface.systems.pcavs.compact.networks import (
    DELAY,
    CompactNetworks,
    Drawn,
    Identity,
    signed_mouths,
    signed_pictures,
)
from talkingface.systems.pcavs.compact.views import mouth_view, pose_view
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.mel import mel_windows, speech_mel, voice_share
from talkingface.systems.pcavs.data.timing import RATE_HZ, audible_frames
from talkingface.systems.pcavs.init_weights import init_random
from talkingface.systems.pcavs.pose.pose_features import track_features
from talkingface.systems.pcavs.pose.pose_map import PoseMap
from talkingface.systems.pcavs.variants import Face

OTHER_GAP = 1.0
"""Change of the lips' gap, in units of `mouth_targets.MEASURE_SCALE`, from which they are another mouth."""
LIP_REACH = 0.12
"""How far around the lips that counts, in eye distances."""
FACE_REACH = 0.1
"""How far around the face its movement is exact, likewise."""
INNER_FACE, INNER_REACH, EYE_REACH = 0.85, 0.04, 0.12
"""Where colours are generated: so much of the face's outline, about the middle, and so far around, without the eyes and
so far around them. Eyes, cheeks, hair and background are only moved: generated, they showed halos and streaks at the
photo's size, and one eye under a smile turned blue."""
CALM = 0.05
"""Smoothing of the movement of hair and background, standard deviation in sides."""
MARGIN = 0.25
"""How much of the photo around the square the flow may fetch, in sides: better than smearing the square's edge."""
_PICTURES = 32
"""Pictures encoded at a time."""
_WINDOWS = 256
"""Windows of sound encoded at a time."""
_SILENCE_S = 4
Reader = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Speech float32 [N] at 16 kHz and its log-mel -> mouth codes [T, M]."""


class CompactVariant:
    """See `variants.Variant`. `tensors`: the weights, or None for random ones."""

    def __init__(self, config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> None:
        self._config, self._device = config, device
        self._precise = not likes_bfloat16(device)
        # random networks hold nothing that a map could be of
        self._map = None if tensors is None else PoseMap.load(tensors)
        self._networks = CompactNetworks(config.codes, config.compact)
        if tensors is None:
            init_random(self._networks)
        for name, network in self._networks.named_children():
            if tensors is not None:
                network.load_state_dict(tensors_of(tensors, name))
            network.eval().requires_grad_(False).to(device)
            # CPUs convolve pictures faster with channels last; the speech network is one-dimensional
            if name != "speech":
                network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self._read = self._token_reader() if config.compact.encoder else self._mel_reader()
        silent = np.zeros(_SILENCE_S * RATE_HZ, np.float32)
        # long enough that the beginning of the sound is forgotten
        self.silence = self._read(silent, speech_mel(silent))[-1]

    @property
    def size_px(self) -> int:
        """Side of the networks' square."""
        return self._config.compact.size_px

    def encode_audio(self, samples: np.ndarray) -> np.ndarray:
        """See `variants.Variant`."""
        mel = speech_mel(samples)
        codes = self._read(samples, mel)
        return self.silence + np.float32(self._config.mouth_gain * voice_share(mel)) * (codes - self.silence)

    def _token_reader(self) -> Reader:
        compact = self._config.compact
        encoder = SpeechEncoder.load(compact.encoder)
        head = {name: value.numpy(force=True) for name, value in self._networks.speech.state_dict().items()}
        return lambda samples, mel: encoder.rows(samples, head, compact.speech, DELAY)

    def _mel_reader(self) -> Reader:
        def read(samples: np.ndarray, mel: np.ndarray) -> np.ndarray:
            count = audible_frames(len(samples))
            parts = [np.zeros((0, self._config.codes.mouth), np.float32)]
            for start in range(0, count, _WINDOWS):
                frames = np.arange(
                    start, start + _WINDOWS
                )  # always full: a row must not depend on the number of others
                windows = mel_windows(mel, frames, columns=self._config.compact.mel_frames)
                with torch.inference_mode():
                    parts.append(
                        self._networks.speech(torch.from_numpy(windows).to(self._device)).float().cpu().numpy()
                    )
            return np.concatenate(parts)[:count]

        return read

    def encode_video(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """See `variants.Variant`."""
        matrices = alignment(three_points(track.landmarks), track.confidence > 0)
        matrices[..., 2] += head_shifts(matrices)
        parts: list[Codes] = []
        squares: list[tuple[np.ndarray, np.ndarray]] = []
        for rgb, points, matrix in zip(pictures, track.landmarks, matrices, strict=True):
            squares.append(cut_square(rgb, points, matrix, self.size_px))
            if len(squares) == _PICTURES:
                parts.append(self._encode_squares(squares))
                squares = []
        if squares:
            parts.append(self._encode_squares(squares))
        mouth, pose = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Codes(mouth, self._followed(pose, track))

    def _followed(self, pose: np.ndarray, track: Track) -> np.ndarray:
        """Pose codes of a track: the network's on average, moved as the tracked points move.

        On people it was not trained on the network errs by two to five degrees, and it cannot see where in the picture
        a crop was. Distance of stable points from the real clip's, six such people, in eye distances: 0.023 instead of
        0.073.
        """
        if self._map is None or len(track) < 2:
            return pose
        return (pose.mean(axis=0) + track_features(track) @ self._map.features.T).astype(np.float32)

    def _encode_squares(self, squares: list[tuple[np.ndarray, np.ndarray]]) -> Codes:
        """Codes of squares uint8 [S, S, 3] with their points [478, 2]."""
        compact = self._config.compact
        mouths = np.stack([mouth_view(square, points, compact.mouth_px) for square, points in squares])
        faces = np.stack([pose_view(square, points, compact.pose_px) for square, points in squares])
        with torch.inference_mode():
            mouth = self._networks.mouth(signed_mouths(torch.from_numpy(mouths).to(self._device)))
            pose = self._networks.pose(self._signed(faces))
        return Codes(mouth.float().cpu().numpy(), pose.float().cpu().numpy())

    def _signed(self, rgb: np.ndarray) -> Tensor:
        return signed_pictures(torch.from_numpy(rgb).to(self._device)).contiguous(memory_format=torch.channels_last)

    def face(self, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int) -> Face:
        """See `variants.Variant`."""
        return CompactFace(self, rgb, landmarks, matte, side)

    def encode_photo(self, square: np.ndarray, points: np.ndarray) -> tuple[Identity, Codes]:
        """Identity and codes ([1, M] and [1, P]) of a square uint8 [S, S, 3] with points [478, 2] in [-1, 1]."""
        with torch.inference_mode(), self._autocast():
            identity = self._networks.identity(self._signed(square[None]))
        return identity, self._encode_squares([(square, points)])

    def gap(self, mouth: np.ndarray) -> np.ndarray:
        """How far the lips of codes [B, M] are apart, [B], in units of `mouth_targets.MEASURE_SCALE`."""
        with torch.inference_mode():
            return self._networks.mouth.facts(torch.from_numpy(mouth).to(self._device))[:, 0].float().cpu().numpy()

    def draw(self, identity: Identity, own_pose: np.ndarray, mouth: np.ndarray, pose: np.ndarray) -> Drawn:
        """Frames from codes [B, M] and [B, P], for a photo whose pose code is `own_pose` [P]."""
        own, mouths, poses = (
            torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(self._device)
            for rows in (np.repeat(own_pose[None], len(mouth), 0), mouth, pose)
        )
        with torch.inference_mode(), self._autocast():
            return self._networks.generator(identity.repeated(len(mouth)), own, mouths, poses)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self._device.partition(":")[0], torch.bfloat16, enabled=not self._precise)


class CompactFace:
    """See `variants.Face`: a photo whose square is moved by the networks' flow at its own resolution.

    Colours are generated in the inner face alone. For the photo's own codes they would be the photo's if the networks
    were perfect; the difference is subtracted from every frame, carried along by the movement, so that at rest the
    photo appears to the pixel. Lips that part or close are left alone: the error of closed lips has nothing to do with
    an open mouth.
    """

    def __init__(
        self, variant: CompactVariant, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int
    ) -> None:
        self._variant = variant
        matrix = photo_alignment(landmarks)
        square, points = cut_square(rgb, landmarks, matrix, variant.size_px)
        self._identity, own = variant.encode_photo(square, points)
        self.rest = own.pose[0]
        large = joined(square_matrix(side), matrix)
        self.square = Square(matrix=large, side=side, keeps_colours=True)
        room = round(MARGIN * side)
        wide = np.column_stack([large[:, :2], large[:, 2] + room])
        self._picture = view(rgb, wide, side + 2 * room).astype(np.float32)
        self._matte = None if matte is None else view(matte, wide, side + 2 * room)
        self._room, self._grid = room, pixel_grid(side)
        lips, oval = points[list(LIPS)], points[list(FACE_OVAL)]
        inner = oval.mean(axis=0) + INNER_FACE * (oval - oval.mean(axis=0))
        self._lips, self._inner = soft_mask(lips, LIP_REACH, side), soft_mask(inner, INNER_REACH, side)
        for eye in (EYE_POINTS_LEFT, EYE_POINTS_RIGHT):
            self._inner *= 1 - soft_mask(points[list(eye)], EYE_REACH, side)
        self._face = soft_mask(oval, FACE_REACH, variant.size_px)  # as large as the flow
        flow, mask, colour = (part[0] for part in _arrays(variant.draw(self._identity, self.rest, own.mouth, own.pose)))
        self._rest_flow, self._rest_gap = flow, float(variant.gap(own.mouth)[0])
        # what the networks get wrong about the photo itself
        still = self._picture[room : room + side, room : room + side]
        self._rest_error = self._enlarged(1 - mask)[..., None] * (self._enlarged((colour + 1) * 127.5) - still)

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """See `variants.Face`."""
        flows, masks, colours = _arrays(self._variant.draw(self._identity, self.rest, mouth, pose))
        changed = np.clip(np.abs(self._variant.gap(mouth) - self._rest_gap) / OTHER_GAP, 0, 1)
        made = [self._compose(*parts) for parts in zip(flows, masks, colours, changed.tolist(), strict=True)]
        mattes = [matte for _, matte in made if matte is not None]
        return np.stack([rgb for rgb, _ in made]), np.stack(mattes) if mattes else None

    def _compose(
        self, flow: np.ndarray, mask: np.ndarray, colour: np.ndarray, changed: float
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """One square; `changed`: 0 for the photo's own mouth, 1 for quite another."""
        half = np.float32(flow.shape[0] / 2)
        # where the resting flow leads to what this flow fetches: one step of a fixed point, exact at rest
        flow = flow - _fetched(self._rest_flow, pixel_grid(flow.shape[0]) + (flow - self._rest_flow) * half)
        flow = self._calm(flow)
        where = self._grid + self._enlarged(flow) * np.float32(self.square.side / 2)
        wide = where + np.float32(self._room)
        moved = _fetched(self._picture, wide)
        inner = _fetched(self._inner, where)
        box = _box(inner)
        blend, goal, at = (
            part[box] for part in (self._enlarged(1 - mask), self._enlarged((colour + 1) * 127.5), where)
        )
        generated = blend[..., None] * (goal - moved[box])
        error = _fetched(self._rest_error, at) * (1 - changed * _fetched(self._lips, at))[..., None]
        moved[box] += inner[box][..., None] * (generated - error)
        # it takes absolute values: below zero is black
        rgb = cv2.convertScaleAbs(np.maximum(moved, 0))
        return rgb, None if self._matte is None else _fetched(self._matte, wide)

    def _calm(self, flow: np.ndarray) -> np.ndarray:
        """`flow` [S, S, 2], smooth beside the face: in training generated colours hide what it does there, so it
        ripples."""
        side = flow.shape[0]
        share = _fetched(self._face, pixel_grid(side) + flow * np.float32(side / 2))[..., None]
        return share * flow + (1 - share) * cv2.GaussianBlur(flow, (0, 0), CALM * side)

    def _enlarged(self, map_: np.ndarray) -> np.ndarray:
        # linear, the cells of the small map would show as facets at edges of lips
        return cv2.resize(map_, (self.square.side, self.square.side), interpolation=cv2.INTER_CUBIC)


def cut_square(
    rgb: np.ndarray, landmarks: np.ndarray, matrix: np.ndarray, size_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """The networks' square uint8 [S, S, 3] of a picture whose alignment is `matrix`, and its landmarks there [478, 2]
    in [-1, 1]."""
    whole = joined(square_matrix(size_px), matrix)
    return view(rgb, whole, size_px), on_square(landmarks[:, :2].astype(np.float64), whole, size_px)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns in which `mask` [h, w] is not 0, at least one of each."""
    left, top, width, height = cv2.boundingRect((mask > 0).astype(np.uint8))
    return slice(top, top + max(height, 1)), slice(left, left + max(width, 1))


def soft_mask(outline: np.ndarray, reach: float, side: int) -> np.ndarray:
    """1 within points [N, 2] in [-1, 1] and `reach` eye distances around them, 0 away: float32 [side, side]."""
    outline = (outline + 1) / 2 * side - 0.5
    mask = np.zeros((side, side), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline).astype(np.int32)), (1.0,))
    reach *= EYES / 2 * side
    mask = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(reach) + 1,) * 2))
    return cv2.GaussianBlur(mask, (0, 0), reach / 2)


def _arrays(drawn: Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flow, mask and colour, channels last."""
    flow, mask, colour = (
        part.float().permute(0, 2, 3, 1).cpu().numpy() for part in (drawn.flow, drawn.mask, drawn.colour)
    )
    return flow, mask, colour


def _fetched(picture: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`picture` at the pixel numbers `where` [h, w, 2]; beyond its edges the edge goes on."""
    no_second_map = np.empty(0, np.float32)
    return cv2.remap(picture, where, no_second_map, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def pixel_grid(side: int) -> np.ndarray:
    """Pixel numbers (x, y), float32 [side, side, 2]."""
    return np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).astype(np.float32)
