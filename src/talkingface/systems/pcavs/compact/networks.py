"""The compact networks: encoders of identity, mouth, speech and pose, and the generator.

The published design, cut down to what two CPU cores can train and run. What differs, and why: docs/design/decisions.md.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.audio.speech_encoder import SpeechEncoder
from talkingface.nn.blocks import ConvBlock, Down, Pointwise, Up
from talkingface.nn.speech_encoder_config import DELAYS
from talkingface.nn.speech_head import SpeechHead
from talkingface.systems.pcavs.config import CodeConfig, CompactConfig

DELAY = "best"
"""The level of the whole voice counts: what comes later is known."""
NUM_POSE_FEATURES, NUM_MOUTH_FEATURES = 8, 3
"""Measured features that linear layers predict from the codes in training (the layers are named `facts`, as in the
weights): rotation (3), place (2), size, closed eyes, brows; gap, width, jaw."""


class Tower(nn.Module):
    """A picture [B, C, S, S] -> a vector [B, out]; each of `widths` halves the size, the rest is a linear layer."""

    def __init__(self, channels: int, size_px: int, widths: tuple[int, ...], out: int) -> None:
        super().__init__()
        before = (channels, *widths[:-1])
        self.down = nn.ModuleList(nn.Conv2d(a, b, 4, stride=2, padding=1) for a, b in zip(before, widths, strict=True))
        self.refine = nn.ModuleList(ConvBlock(w, w) for w in widths[1:])
        left = size_px // 2 ** len(widths)
        self.out = nn.Linear(widths[-1] * left * left, out)
        for layer in self.down:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        for level, down in enumerate(self.down):
            x = functional.relu(down(x))
            if level:
                x = self.refine[level - 1](x)
        return self.out(functional.relu(x).flatten(1))


class MouthNet(nn.Module):
    """A grey picture of the mouth [B, 1, M, M] in [-1, 1] -> the mouth code [B, mouth]."""

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        self.tower = Tower(1, config.mouth_px, config.mouth_widths, codes.mouth)
        self.facts = nn.Linear(codes.mouth, NUM_MOUTH_FEATURES)

    def forward(self, mouths: Tensor) -> Tensor:
        return self.tower(mouths)


class PoseNet(nn.Module):
    """A picture without its mouth [B, 3, P, P] in [-1, 1] -> the pose code [B, pose]."""

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        self.tower = Tower(3, config.pose_px, config.pose_widths, 2 * config.pose_widths[-1])
        self.code = nn.Linear(2 * config.pose_widths[-1], codes.pose)
        self.facts = nn.Linear(codes.pose, NUM_POSE_FEATURES)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.code(functional.relu(self.tower(pictures)))


def make_speech(codes: CodeConfig, config: CompactConfig, dropout: float = 0.0) -> nn.Module:
    """What gives mouth codes for speech: on tokens of the config's speech encoder, or on log-mel."""
    if not config.encoder:
        return SpeechNet(codes, config)
    width = SpeechEncoder.load(config.encoder).config.width
    return SpeechHead(config.speech, DELAYS[DELAY], width, codes.mouth, dropout)


class SpeechNet(nn.Module):
    """Log-mel windows [B, 1, 80, T] in [0, 1] -> the mouth code [B, mouth] at their middle.

    Of weights that were trained before there was a speech encoder.
    """

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        width = config.speech_width
        self.enter = nn.Conv1d(80, width, 3, padding=1)
        self.first = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(config.speech_blocks))
        self.second = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(config.speech_blocks))
        self.weight = nn.Conv1d(width, width, 1)
        self.out = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.ReLU(), nn.Linear(2 * width, codes.mouth))
        # residual blocks begin as the identity
        for layer in self.second:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.place = nn.Parameter(torch.zeros(1, width, config.mel_frames))

    def forward(self, mel: Tensor) -> Tensor:
        # from [0, 1] to about unit deviation
        x = functional.relu(self.enter(mel[:, 0] * 4 - 2)) + self.place
        for first, second in zip(self.first, self.second, strict=True):
            x = x + second(functional.relu(first(x)))
        x = functional.relu(x)
        # attention over time as in the paper's A_sync, and beside it the column that is the frame's own
        pooled = (x * self.weight(x).softmax(-1)).sum(-1)
        return self.out(torch.cat([pooled, x[..., x.shape[-1] // 2]], dim=1))


@dataclass(frozen=True, slots=True)
class Identity:
    """An encoded face: its `picture` [B, 3, S, S] in [-1, 1], `maps` from fine to coarse, `code` [B, I]."""

    picture: Tensor
    maps: tuple[Tensor, ...]
    code: Tensor

    def repeated(self, count: int) -> Identity:
        """One face (B = 1) for `count` frames; nothing is copied."""
        maps = tuple(m.expand(count, -1, -1, -1) for m in self.maps)
        return Identity(self.picture.expand(count, -1, -1, -1), maps, self.code.expand(count, -1))


class IdentityNet(nn.Module):
    """A face [B, 3, S, S] in [-1, 1] -> `Identity`."""

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        widths = config.widths
        self.enter = nn.Conv2d(12, widths[0], 3, padding=1)
        self.down = nn.ModuleList(Down(a, b) for a, b in itertools.pairwise(widths))
        self.encode = nn.ModuleList(ConvBlock(w, w) for w in widths)
        self.code = nn.Linear(widths[-1] * 16, config.identity)

    def forward(self, picture: Tensor) -> Identity:
        x = functional.relu(self.enter(functional.pixel_unshuffle(picture, 2)))
        maps: list[Tensor] = []
        for level, block in enumerate(self.encode):
            x = block(x if level == 0 else self.down[level - 1](x))
            maps.append(x)
        code = self.code(functional.adaptive_avg_pool2d(functional.relu(x), 4).flatten(1))
        return Identity(picture, tuple(maps), code)


class StyledBlock(nn.Module):
    """A residual block whose inner features are scaled and shifted by the style: [B, C, H, W] -> the same."""

    def __init__(self, channels: int, style: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.style = nn.Linear(style, 2 * channels)
        nn.init.kaiming_normal_(self.first.weight, nonlinearity="relu")
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.style.weight, std=0.3 * style**-0.5)
        nn.init.zeros_(self.style.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.style(style)[..., None, None].chunk(2, dim=1)
        inner = self.first(functional.relu(x)) * (1 + scale) + shift
        return x + self.second(functional.relu(inner))


@dataclass(frozen=True, slots=True)
class Drawn:
    """A frame as a change of the identity picture, so that it can be carried out at any resolution.

    `flow` [B, 2, S, S]: where in the identity picture each place comes from, as a shift (x, y) in halves of the side.
    `mask` [B, 1, S, S] in [0, 1]: how much of the picture is kept; `colour` [B, 3, S, S] in [-1, 1]: the rest.
    `coarse` [B, 2, S/4, S/4] is the flow before its last two steps.
    """

    flow: Tensor
    coarse: Tensor
    mask: Tensor
    colour: Tensor

    def on(self, picture: Tensor) -> Tensor:
        """The frame [B, 3, H, W] in [-1, 1] from the identity `picture` of any size."""
        size = picture.shape[-2:]
        moved = warped(picture, resized(self.flow, size))
        mask, colour = resized(self.mask, size), resized(self.colour, size)
        return mask * moved + (1 - mask) * colour


class Generator(nn.Module):
    """Identity and style codes -> `Drawn`.

    The style is the identity code, the pose code of the identity picture, the mouth code and the wanted pose code: with
    both poses given, only their difference has to be learned. It scales and shifts features inside plain residual
    blocks, which CPUs run twice as fast as the paper's convolutions with a kernel for each frame (section 3.3).
    """

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        fine, middle, coarse, deep = config.widths
        style = config.identity + 2 * codes.pose + codes.mouth_style
        self.mouth = nn.Linear(codes.mouth, codes.mouth_style)
        self.place = nn.Parameter(torch.zeros(1, deep, config.size_px // 16, config.size_px // 16))
        self.deep = nn.ModuleList(StyledBlock(deep, style) for _ in range(2))
        self.up = nn.ModuleList([Up(deep, coarse), Up(coarse, middle)])
        self.move = nn.ModuleList([StyledBlock(coarse, style), StyledBlock(middle, style)])
        self.flow = nn.Conv2d(middle, 2, 3, padding=1)
        self.rejoin = Pointwise(2 * coarse, coarse)
        self.draw = nn.ModuleList([StyledBlock(coarse, style), StyledBlock(middle, style), StyledBlock(fine, style)])
        self.join = nn.ModuleList([Pointwise(2 * middle, middle), Pointwise(2 * fine, fine)])
        self.grow = nn.ModuleList([Up(coarse, middle), Up(middle, fine)])
        self.refine = nn.Conv2d(fine, 2, 3, padding=1)
        self.finest = Up(fine, config.fine)
        self.blend = nn.Conv2d(config.fine + 3, config.fine, 3, padding=1)
        self.heads = nn.Conv2d(config.fine, 4, 3, padding=1)
        self.finer = nn.Conv2d(config.fine, 2, 3, padding=1)
        # a learned map that distinguishes the places of the deepest features
        nn.init.normal_(self.place, std=0.5)
        # flow begins near zero: at first nothing moves
        for layer in (self.flow, self.refine, self.heads, self.finer):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, identity: Identity, own_pose: Tensor, mouth: Tensor, pose: Tensor) -> Drawn:
        style = torch.cat([identity.code, own_pose, self.mouth(mouth), pose], dim=1)
        fine, middle, coarse, deep = identity.maps
        x = deep + self.place
        for block in self.deep:
            x = block(x, style)
        turned = self.move[0](self.up[0](x) + coarse, style)
        # in single precision: half precision would round places to a hundredth of the side
        flow = self.flow(functional.relu(self.move[1](self.up[1](turned) + middle, style))).float()
        x = self.rejoin(torch.cat([turned, warped(coarse, resized(flow, coarse.shape[-2:]))], dim=1))
        x = self.grow[0](self.draw[0](x, style))
        x = self.join[0](torch.cat([x, warped(middle, flow)], dim=1))
        x = self.grow[1](self.draw[1](x, style))
        wide = resized(flow, fine.shape[-2:])
        x = self.draw[2](self.join[1](torch.cat([x, warped(fine, wide)], dim=1)), style)
        full = resized(wide + self.refine(functional.relu(x)).float(), identity.picture.shape[-2:])
        x = torch.cat([functional.relu(self.finest(x)), warped(identity.picture, full)], dim=1)
        x = functional.relu(self.blend(x))
        # an open mouth is a few pixels high: its lips part within a cell of anything coarser
        full = full + self.finer(x).float()
        # one more in the mask: at first most of the photo is kept
        x = self.heads(x).float()
        return Drawn(flow=full, coarse=flow, mask=torch.sigmoid(x[:, 3:] + 1), colour=torch.tanh(x[:, :3]))


class CompactNetworks(nn.Module):
    """All five networks, under the names that they have in weights."""

    def __init__(self, codes: CodeConfig, config: CompactConfig) -> None:
        super().__init__()
        self.identity, self.mouth = IdentityNet(codes, config), MouthNet(codes, config)
        self.pose, self.speech = PoseNet(codes, config), make_speech(codes, config)
        self.generator = Generator(codes, config)


def signed_pictures(rgb: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] -> float32 [B, 3, H, W] in [-1, 1]."""
    return rgb.permute(0, 3, 1, 2).float() / 127.5 - 1


def signed_mouths(grey: Tensor) -> Tensor:
    """uint8 [B, M, M] -> float32 [B, 1, M, M] in [-1, 1]."""
    return grey[:, None].float() / 127.5 - 1


def resized(x: Tensor, size: tuple[int, ...] | torch.Size) -> Tensor:
    """Maps [B, C, h, w] at another size, bilinear."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


def warped(x: Tensor, flow: Tensor) -> Tensor:
    """Maps [B, C, H, W] looked up at each place plus `flow` [B, 2, H, W] (halves of the side, x first)."""
    height, width = flow.shape[-2:]
    rows = (torch.arange(height, device=flow.device) * 2 + 1) / height - 1
    columns = (torch.arange(width, device=flow.device) * 2 + 1) / width - 1
    grid = torch.stack([columns.expand(height, width), rows[:, None].expand(height, width)])
    where = (grid + flow).permute(0, 2, 3, 1)
    return functional.grid_sample(x.float(), where.float(), padding_mode="border", align_corners=False).to(x.dtype)


def sampled(flow: Tensor, points: Tensor) -> Tensor:
    """`flow` [B, 2, H, W] at `points` [B, N, 2] in [-1, 1]: [B, N, 2]."""
    found = functional.grid_sample(flow.float(), points[:, None], padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)
