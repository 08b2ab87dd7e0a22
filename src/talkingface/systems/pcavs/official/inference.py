"""The published networks at work: codes from sound and pictures, pictures from codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from talkingface.core.device import likes_bfloat16
from talkingface.core.errors import UsageError
from talkingface.core.types import Track
from talkingface.systems.pcavs.alignment.align import alignment, similarity, three_points, warp
from talkingface.systems.pcavs.alignment.crop import from_network, loader_crop, network_matrix, to_network
from talkingface.systems.pcavs.codes import Codes, Face, Square
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.mel import mel_windows, speech_mel
from talkingface.systems.pcavs.data.timing import audible_frames
from talkingface.systems.pcavs.init_weights import SEED
from talkingface.systems.pcavs.official.config import NetworkSizes
from talkingface.systems.pcavs.official.data import seen
from talkingface.systems.pcavs.official.fast import DrawingNets, FastDrawer
from talkingface.systems.pcavs.official.networks.build import (
    load_drawing_nets,
    make_generator,
    make_identity,
    make_nonidentity,
    make_speech,
)

_PIECE = 64


class OfficialTalker:
    """See `talker.Talker`. `tensors`: the weights, or None for fresh ones."""

    def __init__(self, config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> None:
        self._config, self._device = config, device
        self._nets = (
            _fresh(config.official.sizes) if tensors is None else load_drawing_nets(tensors, config.official.sizes)
        )
        for network in (self._nets.identity, self._nets.nonidentity, self._nets.speech, self._nets.generator):
            network.eval().requires_grad_(False).to(device)
        self._drawer = FastDrawer(self._nets, torch.bfloat16 if likes_bfloat16(device) else torch.float32)
        self.silence = self._hear(np.zeros((1, 1, 80, 20), np.float32))[0]

    def hear(self, samples: np.ndarray) -> np.ndarray:
        """See `talker.Talker`."""
        count = audible_frames(len(samples))
        mel = speech_mel(samples)
        said = [self._hear(mel_windows(mel, np.arange(k, k + _PIECE))) for k in range(0, count, _PIECE)]
        return np.concatenate([np.zeros((0, len(self.silence)), np.float32), *said])[:count]

    def _hear(self, windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            said = self._nets.speech(torch.from_numpy(windows).to(self._device)) * self._config.mouth_gain
        return said.float().cpu().numpy()

    def read(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """See `talker.Talker`."""
        matrices = alignment(three_points(track.landmarks), track.confidence > 0)
        mouths, poses = [], []
        for rgb, matrix in zip(pictures, matrices, strict=True):
            with torch.inference_mode():
                code = self._nets.nonidentity(self._seen(rgb, matrix))
                mouths.append(self._nets.nonidentity.mouth(code))
                poses.append(self._nets.nonidentity.pose(code))
        return Codes(*(torch.cat(part).float().cpu().numpy() for part in (mouths, poses)))

    def pose_of(self, crops: np.ndarray) -> np.ndarray:
        """Pose codes [K, P] of crops uint8 [K, 224, 224, 3]."""
        with torch.inference_mode():
            pictures = to_network(seen(loader_crop(crops), self._config.official.sizes.crop_px))
            poses = [self._drawer.pose(picture) for picture in torch.from_numpy(pictures).to(self._device)]
        return torch.stack(poses).float().cpu().numpy()

    def _seen(self, rgb: np.ndarray, matrix: np.ndarray) -> torch.Tensor:
        crop = seen(loader_crop(warp(rgb, matrix, "replicate")[None]), self._config.official.sizes.crop_px)
        return torch.from_numpy(to_network(crop)).to(self._device)

    def face(self, rgb: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None, side: int) -> Face:
        """See `talker.Talker`."""
        if matte is not None:
            raise UsageError("the published networks draw the background too; use --background keep")
        return OfficialFace(self, rgb, landmarks)

    @property
    def drawer(self) -> FastDrawer:
        """What draws."""
        return self._drawer

    def know(self, rgb: np.ndarray, matrix: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """What the networks see of a photo, [1, 3, S, S], and its pose code [P]."""
        picture = self._seen(rgb, matrix)
        return picture, self._drawer.pose(picture[0]).float().cpu().numpy()

    def embed(self, mouth: np.ndarray) -> torch.Tensor:
        """Mouth codes [B, M] as the style's part."""
        with torch.inference_mode():
            return self._nets.nonidentity.mouth_embed(torch.from_numpy(mouth).to(self._device))


def _fresh(sizes: NetworkSizes) -> DrawingNets:
    """Untrained networks, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return DrawingNets(
            identity=make_identity(sizes),
            nonidentity=make_nonidentity(sizes),
            speech=make_speech(sizes),
            generator=make_generator(sizes),
        )


class OfficialFace:
    """See `talker.Face`. Squares are what the networks draw, whatever size is asked for."""

    def __init__(self, talker: OfficialTalker, rgb: np.ndarray, landmarks: np.ndarray) -> None:
        matrix = similarity(three_points(landmarks[None]))
        picture, self.rest = talker.know(rgb, matrix)
        self._talker, self._paint = talker, talker.drawer.painter(picture)
        side = picture.shape[-1]
        scale = side / 224
        seen_by = network_matrix(matrix)
        shift = (seen_by[:, 2] + 0.5) * scale - 0.5
        self.square = Square(matrix=np.column_stack([seen_by[:, :2] * scale, shift]), side=side)

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """See `talker.Face`."""
        said = self._talker.embed(mouth)
        held = torch.from_numpy(np.ascontiguousarray(pose, np.float32)).to(said.device)
        drawn = [self._paint(m, p).cpu().numpy() for m, p in zip(said, held, strict=True)]
        return from_network(np.stack(drawn)), None
