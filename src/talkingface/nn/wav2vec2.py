"""HuBERT and wav2vec 2.0 in their large form: transformers that read the waveform itself, 50 rows a second.

Names and arithmetic are those of the checkpoints on the model hub (`facebook/hubert-large-ls960-ft`,
`facebook/wav2vec2-large-xlsr-53` and what was tuned from it), which normalise before each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

FIELD, HOP = 400, 320
"""Samples at 16 kHz that a row depends on before the transformer, and from one row to the next."""
_KERNELS, _STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
_PREFIXES = ("hubert.", "wav2vec2.")
_NEW_NAMES = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wav2Vec2Config:
    """Sizes; the defaults are the large form's."""

    channels: int = 512
    width: int = 1024
    layers: int = 24
    heads: int = 16
    hidden: int = 4096
    place_kernel: int = 128
    place_groups: int = 16
    letters: int = 0
    """Classes of a head on top; 0: none."""


class _ConvLayer(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride)
        self.layer_norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.layer_norm(self.conv(x).transpose(1, 2))).transpose(1, 2)


class _Features(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        inputs = (1,) + (channels,) * (len(_KERNELS) - 1)
        self.conv_layers = nn.ModuleList(
            _ConvLayer(before, channels, kernel, stride)
            for before, kernel, stride in zip(inputs, _KERNELS, _STRIDES, strict=True)
        )

    def forward(self, wave: Tensor) -> Tensor:
        x = wave[:, None]
        for layer in self.conv_layers:
            x = layer(x)
        return x.transpose(1, 2)


class _Projection(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)
        self.projection = nn.Linear(channels, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.projection(self.layer_norm(x))


class _PlaceConv(nn.Module):
    """A grouped convolution whose kernel has one norm for each of its taps."""

    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        kernel, self.groups = config.place_kernel, config.place_groups
        drawn = nn.Conv1d(config.width, config.width, kernel, groups=self.groups)
        self.weight_v = nn.Parameter(drawn.weight.detach())
        self.weight_g = nn.Parameter(self.weight_v.detach().norm(dim=(0, 1), keepdim=True))
        self.bias = nn.Parameter(torch.zeros(config.width))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.weight_v * (self.weight_g / self.weight_v.norm(dim=(0, 1), keepdim=True))
        count = x.shape[-1]
        return functional.conv1d(x, kernel, self.bias, padding=kernel.shape[-1] // 2, groups=self.groups)[..., :count]


class _Places(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.conv = _PlaceConv(config)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.k_proj, self.v_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.q_proj, self.out_proj = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = (projection(x) for projection in (self.q_proj, self.k_proj, self.v_proj))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        seen = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(seen.transpose(1, 2).flatten(2))


class _FeedForward(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.intermediate_dense, self.output_dense = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output_dense(functional.gelu(self.intermediate_dense(x)))


class _Layer(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.attention = _Attention(config.width, config.heads)
        self.layer_norm, self.final_layer_norm = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.feed_forward = _FeedForward(config.width, config.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.layer_norm(x))
        return x + self.feed_forward(self.final_layer_norm(x))


class _Encoder(nn.Module):
    def __init__(self, config: Wav2Vec2Config) -> None:
        super().__init__()
        self.pos_conv_embed = _Places(config)
        self.layer_norm = nn.LayerNorm(config.width)
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.pos_conv_embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.layer_norm(x)


class Wav2Vec2(nn.Module):
    """Waves [B, N] at 16 kHz, of mean 0 and deviation 1 -> rows [B, (N - 400) // 320 + 1, width]; 315 M parameters.

    With `config.letters` there is a head on top, `letters`.
    """

    def __init__(self, config: Wav2Vec2Config | None = None) -> None:
        super().__init__()
        config = config or Wav2Vec2Config()
        self.config = config
        self.feature_extractor = _Features(config.channels)
        self.feature_projection = _Projection(config.channels, config.width)
        self.encoder = _Encoder(config)
        if config.letters:
            self.lm_head = nn.Linear(config.width, config.letters)

    def forward(self, waves: Tensor) -> Tensor:
        return self.encoder(self.feature_projection(self.feature_extractor(waves)))

    def letters(self, waves: Tensor) -> Tensor:
        """Logits [B, T, letters] of a network that was tuned to write down what is said."""
        return self.lm_head(self(waves))


def wav2vec2_config(state: Mapping[str, Tensor]) -> Wav2Vec2Config:
    """The sizes of a state (`wav2vec2_state`). Raises KeyError for others."""
    width = state["encoder.layer_norm.weight"].shape[0]
    place = state["encoder.pos_conv_embed.conv.weight_v"].shape
    return Wav2Vec2Config(
        channels=state["feature_extractor.conv_layers.0.conv.weight"].shape[0],
        width=width,
        layers=1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layers.")),
        heads=max(1, width // 64),
        hidden=state["encoder.layers.0.feed_forward.intermediate_dense.weight"].shape[0],
        place_kernel=place[2],
        place_groups=width // place[1],
        letters=len(state["lm_head.weight"]) if "lm_head.weight" in state else 0,
    )


def wav2vec2_state(checkpoint: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a `Wav2Vec2` in a checkpoint of the model hub, old or new names of its weight norm.

    Raises ValueError if it is none, or one of the form that normalises after each layer ("base").
    """
    found: dict[str, Tensor] = {}
    for name, value in checkpoint.items():
        prefix = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        name = name.removeprefix(prefix)
        for new, old in _NEW_NAMES.items():
            name = name.replace(new, old)
        if name.startswith(("feature_extractor.", "feature_projection.", "encoder.", "lm_head.")):
            found[name] = value
    if "encoder.pos_conv_embed.conv.weight_v" not in found:
        raise ValueError("it holds no HuBERT and no wav2vec 2.0")
    if "feature_extractor.conv_layers.1.layer_norm.weight" not in found:
        raise ValueError("it is of the base form; give the large one")
    return found
