"""Any voice to landmarks: a variational autoencoder whose prior is a flow, conditioned on speech and its pitch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkingface.systems.geneface.official.pitch_bins import pitch_bins
from talkingface.systems.geneface.official.wavenet import WaveNet

LANDMARKS = 204
LATENT, STRIDE = 16, 4
"""Channels of the latent code, and frames of motion in one of its steps."""
_AUDIO, _PITCH, _PITCH_BINS = 64, 32, 300


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowSizes:
    """Sizes of the prior's flow."""

    couplings: int = 4
    hidden: int = 64
    kernel: int = 3
    layers: int = 4


class _Coupling(nn.Module):
    """The second half of the channels moved by what the first half says."""

    def __init__(self, channels: int, hidden: int, kernel: int, layers: int, condition: int) -> None:
        super().__init__()
        self.middle = channels // 2
        self.pre = nn.Conv1d(self.middle, hidden, 1)
        self.enc = WaveNet(hidden, kernel, layers, condition)
        self.post = nn.Conv1d(hidden, self.middle, 1)
        nn.init.zeros_(self.post.weight)
        assert self.post.bias is not None
        nn.init.zeros_(self.post.bias)

    def forward(self, x: Tensor, condition: Tensor, mask: Tensor, *, inverse: bool = False) -> Tensor:
        first, second = x.split(self.middle, 1)
        moved = self.post(self.enc(self.pre(first) * mask, condition, mask)) * mask
        second = (second - moved) * mask if inverse else moved + second * mask
        return torch.cat([first, second], 1)


class PriorFlow(nn.Module):
    """Between codes [B, 16, T] and noise: couplings, each followed by a flip of the channels."""

    def __init__(self, condition: int, latent: int, flow: FlowSizes) -> None:
        super().__init__()
        # flips stand between couplings in the published list and have no weights
        self.flows = nn.ModuleDict(
            {
                str(2 * k): _Coupling(latent, flow.hidden, flow.kernel, flow.layers, condition)
                for k in range(flow.couplings)
            }
        )

    def forward(self, codes: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """Codes to noise."""
        for coupling in self.flows.values():
            codes = coupling(codes, condition, mask).flip(1)
        return codes

    def inverse(self, noise: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        """Noise to codes."""
        for coupling in reversed(list(self.flows.values())):
            noise = coupling(noise.flip(1), condition, mask, inverse=True)
        return noise


class _Encoder(nn.Module):
    def __init__(self, condition: int, width: int, kernel: int, layers: int, sizes: tuple[int, int]) -> None:
        super().__init__()
        landmarks, latent = sizes
        self.pre_net = nn.Sequential(nn.Conv1d(landmarks, width, 2 * STRIDE, STRIDE, STRIDE // 2))
        self.wn = WaveNet(width, kernel, layers, condition)
        self.out_proj = nn.Conv1d(width, 2 * latent, 1)

    def forward(self, motion: Tensor, condition: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_std = self.out_proj(self.wn(self.pre_net(motion) * mask, condition, mask)).chunk(2, 1)
        return mean, log_std


class _Decoder(nn.Module):
    def __init__(self, condition: int, width: int, kernel: int, layers: int, sizes: tuple[int, int]) -> None:
        super().__init__()
        landmarks, latent = sizes
        self.pre_net = nn.Sequential(nn.ConvTranspose1d(latent, width, STRIDE, STRIDE))
        self.wn = WaveNet(width, kernel, layers, condition)
        self.out_proj = nn.Conv1d(width, landmarks, 1)

    def forward(self, codes: Tensor, condition: Tensor, mask: Tensor) -> Tensor:
        return self.out_proj(self.wn(self.pre_net(codes) * mask, condition, mask))


class _Vae(nn.Module):
    g_pre_net: nn.Sequential
    encoder: _Encoder
    prior_flow: PriorFlow
    decoder: _Decoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """What the posterior gives: `motion` [B, T, 204], and of its codes [B, 16, T / 4] mean, log deviation, the noise
    that the flow makes of them, and `kl`, one sample's estimate of the divergence from the prior."""

    motion: Tensor
    mean: Tensor
    log_std: Tensor
    noise: Tensor
    kl: Tensor


class AudioToMotion(nn.Module):
    """Speech features [B, 2 T, `audio`] at 50 a second -> landmarks [B, T, 204] at 25, T a multiple of 4.

    `pitch`: the variant that is also told the fundamental frequency, [B, 2 T] in Hz, 0 where there is none.
    """

    def __init__(
        self,
        audio: int = 1024,
        *,
        pitch: bool = False,
        width: int = 256,
        kernel: int = 5,
        encoder_layers: int = 8,
        decoder_layers: int = 4,
        landmarks: int = LANDMARKS,
        latent: int = LATENT,
        flow: FlowSizes | None = None,
    ) -> None:
        super().__init__()
        self.mel_encoder = _narrowed(audio, _AUDIO)
        self.has_pitch = pitch
        if pitch:
            self.pitch_embed = nn.Embedding(_PITCH_BINS, _AUDIO)
            self.pitch_encoder = _narrowed(_AUDIO, _PITCH)
        condition = _AUDIO + (_PITCH if pitch else 0)
        self.latent = latent
        sizes = landmarks, latent
        self.vae = _Vae()
        self.vae.g_pre_net = nn.Sequential(nn.Conv1d(condition, condition, 2 * STRIDE, STRIDE, STRIDE // 2))
        self.vae.encoder = _Encoder(condition, width, kernel, encoder_layers, sizes)
        self.vae.prior_flow = PriorFlow(condition, latent, flow or FlowSizes())
        self.vae.decoder = _Decoder(condition, width, kernel, decoder_layers, sizes)

    def encode_condition(self, audio: Tensor, f0: Tensor | None = None) -> Tensor:
        """Every other row, encoded: [B, condition, T]."""
        found = self.mel_encoder(audio[:, ::2].transpose(1, 2))
        if not self.has_pitch:
            return found
        if f0 is None:
            raise ValueError("this network needs the pitch of the voice too")
        return torch.cat([found, self.encode_pitch(f0)], 1)

    def embed_pitch(self, f0: Tensor) -> Tensor:
        """The embedding [B, T, 64] of a pitch [B, 2 T], which the post-net sees too."""
        return self.pitch_embed(pitch_bins(f0[:, ::2]))

    def encode_pitch(self, f0: Tensor) -> Tensor:
        """[B, 2 T] -> [B, 32, T]."""
        return self.pitch_encoder(self.embed_pitch(f0).transpose(1, 2))

    def reconstruct(self, motion: Tensor, mask: Tensor, condition: Tensor, noise: Tensor) -> Reconstruction:
        """Motion [B, T, 204] with a mask [B, T] through the posterior; `noise` [B, 16, T / 4] draws the codes."""
        full = mask[:, None]
        coarse = full[..., ::STRIDE]
        given = self.vae.g_pre_net(condition)
        mean, log_std = self.vae.encoder(motion.transpose(1, 2), given, coarse)
        codes = mean + noise * log_std.exp()
        made = self.vae.prior_flow(codes, given, coarse)
        posterior = -0.5 * noise.square() - log_std
        kl = ((posterior + 0.5 * made.square()) * coarse).sum() / coarse.sum() / self.latent
        decoded = self.vae.decoder(codes, condition, full) * full
        return Reconstruction(motion=decoded.transpose(1, 2), mean=mean, log_std=log_std, noise=made, kl=kl)

    def generate(self, condition: Tensor, noise: Tensor, mask: Tensor | None = None) -> Tensor:
        """Motion [B, T, 204] of a condition [B, C, T] for noise [B, 16, T / 4], whose size is the temperature."""
        full = torch.ones_like(condition[:, :1])
        codes = self.vae.prior_flow.inverse(noise, self.vae.g_pre_net(condition), full[..., ::STRIDE])
        made = self.vae.decoder(codes, condition, full)
        return (made if mask is None else made * mask[:, None]).transpose(1, 2)


def _narrowed(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, _AUDIO, 3, padding=1, bias=False),
        nn.BatchNorm1d(_AUDIO),
        nn.GELU(),
        nn.Conv1d(_AUDIO, outputs, 3, padding=1, bias=False),
    )


def masked_mse(made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of [B, T, C] over the frames of a mask [B, T]."""
    return _masked((made - real).square(), mask)


def masked_mae(made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute error, likewise."""
    return _masked((made - real).abs(), mask)


def continuity_loss(made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
    """Squared errors of the frames' differences, and of the first frame itself, over the number of masked values."""
    error = functional.pad(made - real, (0, 0, 1, 0)).diff(dim=1)
    return _masked(error.square(), mask)


def _masked(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask[..., None]).sum() / (mask.sum() * values.shape[-1])
