"""Drawing by the published networks, faster: the same numbers (within 1e-3) in another order of work.

Single frames: in batches the scales of each frame's modulation could not be folded into the weights, which are smaller
than the feature maps from 112 pixels on. On one thread 799 ms a frame instead of 3480, in bfloat16 312.

- V runs once a clip, E once for each distinct pose picture, G once a frame.
- The identity's part of every layer's modulation is computed once; a frame adds that of mouth and pose.
- Channel scales, the gain of the activation and biases are folded into whichever is smaller: weights or feature maps.
- The FIR filter is separable and runs per channel; it carries the scales of the convolution before it.
- Pictures lie with channels last in memory, which CPUs convolve faster.
- The mapping network, the constant first map, and the classifiers are not there.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.core.errors import WeightsError
from talkingface.systems.pcavs.official.networks.build import OfficialNetworks
from talkingface.systems.pcavs.official.networks.generator import Generator, Noise
from talkingface.systems.pcavs.official.networks.identity import Identity
from talkingface.systems.pcavs.official.networks.speech import tiled_voice
from talkingface.systems.pcavs.official.networks.style_layers import EPS, GAIN, SLOPE, TAPS, ModulatedConv, StyledConv
from talkingface.systems.pcavs.official.style import SPEECH_GAIN, StyleParts, embed_mouth

BATCH = 8
"""Mel windows encoded at once."""
_LAST = torch.channels_last
_Net = TypeVar("_Net", bound=nn.Module)


class _Layer:
    """A modulated convolution ready for single frames: modulation split by what changes, weights in `dtype`."""

    def __init__(self, conv: ModulatedConv, identity: int, dtype: torch.dtype) -> None:
        modulation = conv.modulation
        weight = modulation.weight.detach().float() * modulation.scale
        self.of_identity, self.of_rest = weight[:, :identity].contiguous(), weight[:, identity:].contiguous()
        self.bias = modulation.bias.detach().float() * modulation.lr_factor
        kernels = conv.weight.detach()[0].float() * conv.scale
        # demodulation needs the power of scaled kernels: a matrix times the squared scales
        self.power = kernels.square().sum((2, 3)) if conv.demodulate else None
        self.kernels = kernels.to(dtype).contiguous(memory_format=_LAST)

    def fix(self, vector: Tensor) -> Tensor:
        """The part of the modulation that the identity [F] decides: [in]."""
        return self.of_identity @ vector.float() + self.bias

    def scales(self, fixed: Tensor, rest: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scales of the input channels [in], and of the output channels [out] if it demodulates."""
        scales = torch.addmv(fixed, self.of_rest, rest)
        return scales, None if self.power is None else torch.rsqrt(self.power @ scales.square() + EPS)


class _Styled(_Layer):
    """`StyledConv` for one frame."""

    def __init__(self, layer: StyledConv, identity: int, dtype: torch.dtype) -> None:
        super().__init__(layer.conv, identity, dtype)
        self.up = layer.conv.resample == "up"
        self.noise_weight = float(layer.noise.weight.detach())
        self.after = (layer.activate.bias.detach().float().flatten() * GAIN).to(dtype)
        outputs = self.kernels.shape[0]
        # once down and once across, each with a gain of 2 for the zeros between
        row = self.bias.new_tensor(TAPS) * (2 / sum(TAPS))
        self.down_taps = row[None, None, :, None].repeat(outputs, 1, 1, 1).to(dtype)
        self.across_taps = row[None, None, None].repeat(outputs, 1, 1, 1)
        if self.up:
            self.kernels = self.kernels.transpose(0, 1).contiguous(memory_format=_LAST)

    def __call__(self, x: Tensor, fixed: Tensor, rest: Tensor, noise: Tensor | None) -> Tensor:
        scales, demodulation = self.scales(fixed, rest)
        assert demodulation is not None
        gains = demodulation * GAIN
        x = self._up(x, scales, gains) if self.up else self._plain(x, scales, gains)
        if noise is not None and self.noise_weight:
            x += noise * (self.noise_weight * GAIN)
        return functional.leaky_relu_(x, SLOPE)

    def _up(self, x: Tensor, scales: Tensor, gains: Tensor) -> Tensor:
        kernels, dtype, groups = self.kernels, x.dtype, len(gains)
        if x.numel() > kernels.numel():
            # whichever is smaller is scaled: the weights, or the map
            kernels = kernels * scales[:, None, None, None].to(dtype)
        else:
            x = x * scales[:, None, None].to(dtype)
        # the filter runs down, then across; the second carries the demodulation and the activation's gain
        x = functional.conv_transpose2d(x, kernels, stride=2)
        x = functional.conv2d(x, self.down_taps, padding=(1, 0), groups=groups)
        taps = (self.across_taps * gains[:, None, None, None]).to(dtype)
        return functional.conv2d(x, taps, self.after, padding=(0, 1), groups=groups)

    def _plain(self, x: Tensor, scales: Tensor, gains: Tensor) -> Tensor:
        kernels, dtype = self.kernels, x.dtype
        if x.numel() > kernels.numel():
            kernels = kernels * (gains[:, None] * scales)[:, :, None, None].to(dtype)
            return functional.conv2d(x, kernels, self.after, padding=1)
        x = functional.conv2d(x * scales[:, None, None].to(dtype), kernels, padding=1)
        return torch.addcmul(self.after[:, None, None], x, gains[:, None, None].to(dtype))


class FastGenerator:
    """A `Generator` for frames of one identity. `dtype`: float32, or bfloat16 where the machine multiplies it fast.

    `noise`: "stored" or "none"; fresh noise would flicker.

    Example: `generate = FastGenerator(generator, identity=2048).of(identity); picture = generate(mouth, pose)`
    """

    def __init__(self, network: Generator, *, identity: int, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self.convs = [_Styled(layer, identity, dtype) for layer in [network.conv1, *network.convs]]  # pyright: ignore
        heads = [network.to_rgb1, *network.to_rgbs]
        self.heads = [_Layer(head.conv, identity, dtype) for head in heads]
        self.biases = [head.bias.detach().flatten().to(dtype) for head in heads]
        # zeros between pixels and the filter, in one transposed convolution
        row = self.heads[0].bias.new_tensor(TAPS) * (2 / sum(TAPS))
        self.skip = torch.outer(row, row)[None, None].repeat(3, 1, 1, 1).to(dtype)
        self._network = network

    def of(self, identity: Identity, noise: Noise = "stored") -> IdentityGenerator:
        """The generator of one identity (vector [1, F], map [1, C, s, s])."""
        return IdentityGenerator(self, identity, noise)

    def noise_maps(self, noise: Noise) -> list[Tensor | None]:
        """One for each convolution."""
        return [None if n is None else n.detach().to(self.dtype) for n in self._network.noise_maps(noise, 1)]


class IdentityGenerator:
    """Draws frames of one identity, see `FastGenerator.of`."""

    def __init__(self, generator: FastGenerator, identity: Identity, noise: Noise) -> None:
        if len(identity.vector) != 1:
            raise ValueError(f"one identity is drawn at a time, not {len(identity.vector)}")
        self._generator = generator
        self._noise = generator.noise_maps(noise)
        with torch.inference_mode():
            vector = identity.vector[0]
            # the identity's map takes the place of the learned constant (paper, section 3.3)
            self._first = identity.map.to(generator.dtype).contiguous(memory_format=_LAST)
            self._convs = [layer.fix(vector) for layer in generator.convs]
            self._heads = [layer.fix(vector) for layer in generator.heads]

    @torch.inference_mode()
    def __call__(self, mouth: Tensor, pose: Tensor) -> Tensor:
        """Mouth embedding [500] and pose code [12] -> picture float32 [3, S, S] in (-1, 1)."""
        rest = torch.cat([mouth, pose]).float()
        x = self._conv(0, self._first, rest)
        picture = self._head(0, x, rest)
        for k in range(1, len(self._heads)):
            x = self._conv(2 * k, self._conv(2 * k - 1, x, rest), rest)
            larger = functional.conv_transpose2d(picture, self._generator.skip, stride=2, padding=1, groups=3)
            picture = self._head(k, x, rest) + larger
        return torch.tanh(picture[0].float())

    def _conv(self, k: int, x: Tensor, rest: Tensor) -> Tensor:
        return self._generator.convs[k](x, self._convs[k], rest, self._noise[k])

    def _head(self, k: int, x: Tensor, rest: Tensor) -> Tensor:
        layer = self._generator.heads[k]
        scales, _ = layer.scales(self._heads[k], rest)
        kernels = layer.kernels * scales[None, :, None, None].to(x.dtype)
        return functional.conv2d(x, kernels, self._generator.biases[k])


class FastRenderer:
    """Draws clips by the published networks.

    Example: `for picture in FastRenderer(nets).draw(pictures, windows, poses, order): ...`
    """

    def __init__(self, nets: OfficialNetworks, dtype: torch.dtype = torch.float32) -> None:
        self.dtype = dtype
        self._identity = _laid_out(nets.identity, dtype)
        self._nonidentity = nets.nonidentity
        self._fan = _laid_out(nets.nonidentity.model, dtype)
        self._nets, self._speech = nets, nets.speech
        features = nets.identity.model.num_features
        self._generator = FastGenerator(nets.generator, identity=features, dtype=dtype)

    @torch.inference_mode()
    def generator_for(self, pictures: Tensor, noise: Noise = "stored") -> IdentityGenerator:
        """The generator of a person from pictures [N, 3, S, S] in [-1, 1]."""
        found = self._identity(pictures[None].to(self.dtype))
        return self._generator.of(Identity(found.vector.float(), found.map.float()), noise)

    @torch.inference_mode()
    def generator_for_voice(self, mel: Tensor, noise: Noise = "stored") -> IdentityGenerator:
        """The generator of a face inferred from a voice, mel columns [T, 80]. Raises WeightsError without A."""
        first = self._nets.generator.input
        if self._nets.voice is None or first is None:
            raise WeightsError(
                "these weights infer no face from a voice; import the files of demo_id, with A among them"
            )
        vector = self._nets.voice(tiled_voice(mel))
        return self._generator.of(Identity(vector, first.input), noise)

    @torch.inference_mode()
    def pose(self, picture: Tensor) -> Tensor:
        """The pose code [12] that a picture [3, S, S] shows."""
        # the hourglass alone runs in `dtype`; the small heads behind it keep single precision
        code = self._fan(picture[None].to(self.dtype, memory_format=_LAST)).float()
        return self._nonidentity.pose(code)[0]

    @torch.inference_mode()
    def mouths(self, windows: Tensor, gain: float = SPEECH_GAIN) -> Tensor:
        """Mouth embeddings [T, 500] of mel windows [T, 1, 80, 20].

        Always so many at a time, the last ones padded: batches of another size give slightly other numbers.
        """
        padded = functional.pad(windows, (0, 0, 0, 0, 0, 0, 0, -len(windows) % BATCH))
        pieces = [embed_mouth(self._nonidentity, self._speech(piece), gain) for piece in padded.split(BATCH)]
        return torch.cat(pieces)[: len(windows)]

    def draw(
        self, pictures: Tensor, windows: Tensor, poses: Sequence[Tensor], order: Iterable[int]
    ) -> Iterator[Tensor]:
        """Pictures float32 [3, S, S], one for each window; frame k shows the pose of `poses[order[k]]`."""
        generate, codes = self.generator_for(pictures), dict[int, Tensor]()
        for mouth, place in zip(self.mouths(windows), order, strict=True):
            if place not in codes:
                codes[place] = self.pose(poses[place])
            yield generate(mouth, codes[place])


def draw_plain(
    nets: OfficialNetworks, pictures: Tensor, windows: Tensor, poses: Sequence[Tensor], order: Iterable[int]
) -> Iterator[Tensor]:
    """The same in the original's order of work, for comparing: V, E and A_sync run for each frame, and G twice, also
    for the pose of the first picture, which is not used."""
    with torch.inference_mode():
        still = nets.nonidentity.pose(nets.nonidentity(pictures[:1]))
        for window, place in zip(windows, order, strict=True):
            identity = nets.identity(pictures[None])
            mouth = embed_mouth(nets.nonidentity, nets.speech(window[None]))
            pose = nets.nonidentity.pose(nets.nonidentity(poses[place][None]))
            for code in (still, pose):
                drawn = nets.generator(StyleParts(identity.vector, mouth, code).joined(), identity.map, "stored")
            yield drawn[0]


def _laid_out(network: _Net, dtype: torch.dtype) -> _Net:
    """A copy in `dtype` with channels last in memory."""
    made = copy.deepcopy(network).to(dtype)
    return made.to(memory_format=_LAST)  # pyright: ignore[reportCallIssue]
