"""The published networks in use: codes from sound and pictures, pictures from codes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

from talkingface.core.device import likes_bfloat16
from talkingface.core.types import Track
from talkingface.nn.seeding import seeded
from talkingface.systems.pcavs.alignment.align import alignment, similarity, three_points, warp
from talkingface.systems.pcavs.alignment.crop import from_network, loader_crop, network_matrix, to_network
from talkingface.systems.pcavs.config import PcavsConfig
from talkingface.systems.pcavs.data.mel import mel_windows, speech_mel
from talkingface.systems.pcavs.data.timing import audible_frames
from talkingface.systems.pcavs.official.codes import Codes
from talkingface.systems.pcavs.official.data import sized
from talkingface.systems.pcavs.official.fast import FastRenderer
from talkingface.systems.pcavs.official.init_weights import SEED
from talkingface.systems.pcavs.official.networks.build import load_official, make_official
from talkingface.systems.pcavs.official.paste import Square

_WINDOWS = 64
"""Windows of sound encoded at a time; always full, so that a row does not depend on the number of others."""


class OfficialVariant:
    """Loaded networks, which nothing changes afterwards. `tensors`: the weights, or None for random ones.

    `silence` float32 [M]: the mouth code of no sound.
    """

    def __init__(self, config: PcavsConfig, tensors: Mapping[str, np.ndarray] | None, device: str) -> None:
        self._config, self._device, sizes = config, device, config.official.sizes
        if tensors is None:
            with seeded(SEED):
                self._nets = make_official(sizes)
        else:
            self._nets = load_official(tensors, sizes)
        for network in (self._nets.identity, self._nets.nonidentity, self._nets.speech, self._nets.generator):
            network.eval().requires_grad_(False).to(device)
        self.fast = FastRenderer(self._nets, torch.bfloat16 if likes_bfloat16(device) else torch.float32)
        self.silence = self._encode_windows(np.zeros((1, 1, 80, 20), np.float32))[0]

    def encode_audio(self, samples: np.ndarray) -> np.ndarray:
        """Mouth codes float32 [T, M] of a whole voice, mono float32 [N] at 16 kHz: one for each frame begun in it."""
        count = audible_frames(len(samples))
        mel = speech_mel(samples)
        starts = range(0, count, _WINDOWS)
        codes = [self._encode_windows(mel_windows(mel, np.arange(start, start + _WINDOWS))) for start in starts]
        return np.concatenate([np.zeros((0, len(self.silence)), np.float32), *codes])[:count]

    def _encode_windows(self, windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            codes = self._nets.speech(torch.from_numpy(windows).to(self._device)) * self._config.mouth_gain
        return codes.float().cpu().numpy()

    def encode_video(self, track: Track, pictures: Iterator[np.ndarray]) -> Codes:
        """Codes of a tracked clip whose `pictures` are given again, uint8 [H, W, 3]."""
        matrices = alignment(three_points(track.landmarks), track.confidence > 0)
        mouths, poses = [], []
        for rgb, matrix in zip(pictures, matrices, strict=True):
            with torch.inference_mode():
                code = self._nets.nonidentity(self._input(rgb, matrix))
                mouths.append(self._nets.nonidentity.mouth(code))
                poses.append(self._nets.nonidentity.pose(code))
        return Codes(*(torch.cat(part).float().cpu().numpy() for part in (mouths, poses)))

    def encode_poses(self, crops: np.ndarray) -> np.ndarray:
        """Pose codes [K, P] of crops uint8 [K, 224, 224, 3]."""
        pictures = to_network(sized(loader_crop(crops), self._config.official.sizes.crop_px))
        poses = [self.fast.pose(picture) for picture in torch.from_numpy(pictures).to(self._device)]
        return torch.stack(poses).float().cpu().numpy()

    def encode_photo(self, rgb: np.ndarray, matrix: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """A photo as the networks take it, [1, 3, S, S], and its pose code [P]."""
        picture = self._input(rgb, matrix)
        return picture, self.fast.pose(picture[0]).float().cpu().numpy()

    def embed(self, mouth: np.ndarray) -> torch.Tensor:
        """Mouth codes [B, M] as the style's part."""
        with torch.inference_mode():
            return self._nets.nonidentity.mouth_embed(torch.from_numpy(mouth).to(self._device))

    def _input(self, rgb: np.ndarray, matrix: np.ndarray) -> torch.Tensor:
        # the published crops are black beyond the picture's edge; a face at the edge is drawn better without a rim
        crop = sized(loader_crop(warp(rgb, matrix, "replicate")[None]), self._config.official.sizes.crop_px)
        return torch.from_numpy(to_network(crop)).to(self._device)


class OfficialFace:
    """A photo prepared for drawing, in squares of the networks' size. `rest` float32 [P]: its pose code."""

    def __init__(self, variant: OfficialVariant, rgb: np.ndarray, landmarks: np.ndarray) -> None:
        matrix = similarity(three_points(landmarks[None]))
        picture, self.rest = variant.encode_photo(rgb, matrix)
        self._variant, self._generate = variant, variant.fast.generator_for(picture)
        side = picture.shape[-1]
        self.square = Square(matrix=network_matrix(matrix, side), side=side)

    def draw(self, mouth: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Squares uint8 [B, S, S, 3] from codes [B, M] and [B, P]. Any number of threads may call it."""
        mouths = self._variant.embed(mouth)
        poses = torch.from_numpy(np.ascontiguousarray(pose, np.float32)).to(mouths.device)
        # frame by frame: see `fast` for why a batch would be slower
        drawn = [self._generate(m, p).cpu().numpy() for m, p in zip(mouths, poses, strict=True)]
        return from_network(np.stack(drawn))
