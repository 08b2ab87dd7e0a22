"""Mouth codes in use, from sound and from pictures, and the mouth coefficients that they stand for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from talkingface.audio.speech_encoder import HeardFrames, SpeechEncoder
from talkingface.core.kept import once
from talkingface.core.types import Track
from talkingface.face.morphable import load_mesh478
from talkingface.face.mouth_measures import measure_matrix
from talkingface.face.mouth_shape import parting, stretching
from talkingface.systems.pcavs.compact.mouths import mouth_matrices, mouth_picture, quiet_frames
from talkingface.systems.pcavs.config import CompactConfig

DELAY = "best"
RATE_HZ, SILENCE_S = 16000, 4
_PICTURES = 32
"""Pictures encoded at a time."""


class MouthCodes:
    """`tensors`: those of the weights; networks lie under `mouth` and `speech`, `rest` is the code of a resting mouth.

    Codes are about that of the mouth at rest, which is the zero of both senses. Nothing changes the object.
    """

    def __init__(self, tensors: Mapping[str, np.ndarray], config: CompactConfig, device: str = "cpu") -> None:
        from talkingface.nn.state import part

        self._config, self._device = config, device
        self._encoder = SpeechEncoder.load(config.encoder)
        self._mouth = part(tensors, "mouth")
        self._head = {name: value.astype(np.float32) for name, value in part(tensors, "speech").items()}
        self._rest, self._decode = tensors["rest"].astype(np.float32), self._mouth["decode.weight"].astype(np.float32)
        if self._decode.shape[1] != config.code or self._rest.shape != (config.code,):
            raise ValueError(f"codes have {self._rest.shape} and {self._decode.shape} numbers")
        measures = measure_matrix(load_mesh478())
        self._stretch, self._gap, self._parting = stretching(measures, config.gain), measures[0], parting(measures)
        # long enough that the beginning of the sound is forgotten
        silent = np.zeros(SILENCE_S * RATE_HZ, np.float32)
        self._silence = self._encoder.rows(silent, self._head, config.speech, DELAY)[-1]

    def hear(self, pieces: Iterator[np.ndarray]) -> Iterator[tuple[np.ndarray, HeardFrames]]:
        """Codes float32 [T, C] of mono float32 speech at 16 kHz in pieces of any length, with what else is heard."""
        for heard in self._encoder.frames(pieces, self._head, self._config.speech, DELAY):
            yield heard.rows - self._silence, heard

    def see(self, track: Track, pictures: Iterator[np.ndarray]) -> np.ndarray:
        """Codes float32 [T, C] of a tracked face whose `pictures` are given again, uint8 [H, W, 3]."""
        seen, size = track.confidence > 0, self._config.mouth_px
        matrices = mouth_matrices(track.landmarks, seen, size)
        mouths = [mouth_picture(rgb, matrix, size) for rgb, matrix in zip(pictures, matrices, strict=True)]
        codes = self._look(np.stack(mouths))
        return codes - (self._rest if len(codes) == 1 else codes[quiet_frames(track.landmarks, seen)].mean(axis=0))

    def coefficients(self, codes: np.ndarray, *, spoken: bool) -> np.ndarray:
        """Mouth coefficients of `mesh478` float32 [T, 16]. Those of speech move farther (`CompactConfig.gain`); lips
        never go through each other."""
        rows = codes @ self._decode.T
        rows = rows @ self._stretch if spoken else rows
        gap = rows @ self._gap
        return rows - np.minimum(gap, 0)[:, None] * self._parting

    def _look(self, mouths: np.ndarray) -> np.ndarray:
        import torch

        from talkingface.systems.pcavs.compact.networks import signed_mouths

        with torch.inference_mode():
            parts = [
                self._net(signed_mouths(torch.from_numpy(mouths[k : k + _PICTURES]).to(self._device))).float().cpu()
                for k in range(0, len(mouths), _PICTURES)
            ]
        return torch.cat(parts).numpy()

    @once
    def _net(self):
        from talkingface.nn.state import tensors_of
        from talkingface.systems.pcavs.compact.networks import MouthNet

        net = MouthNet(self._config)
        net.load_state_dict(tensors_of({f"mouth.{name}": value for name, value in self._mouth.items()}, "mouth"))
        return net.eval().requires_grad_(False).to(self._device)
