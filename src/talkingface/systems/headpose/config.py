"""Settings of the `headpose` system. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from talkingface.core.config import from_dict, upgrade
from talkingface.nn.speech_encoder_config import SpeechHeadConfig
from talkingface.person.splats.config import SplatConfig

OFFICIAL_STEPS = 2235  # of eight pictures each: the paper's 60 epochs over 298 frames


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioConfig:
    """Speech to expression and head pose."""

    encoder: str = ""
    """Weights of the speech encoder from whose tokens a small network reads; "": ATC-net hears MFCC, as published."""
    speech: SpeechHeadConfig = field(default_factory=SpeechHeadConfig)
    """The network that reads tokens."""
    channels: tuple[int, ...] = (64, 128, 256, 256, 512)
    """ATC-net: of the five convolutions."""
    hidden_fc: int = 2048
    hidden: int = 256
    """ATC-net: width of the LSTM."""
    layers: int = 3
    expression: int = 64
    """Expression coefficients that are predicted: the face model's first ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RendererConfig:
    """What draws a person. All settings but `kind` are those of the published networks and their training; what draws
    the compact variant is set under `splats`."""

    kind: Literal["compact", "adain", "unetac"] = "adain"
    """compact: splats; adain: the 2020 paper's networks; unetac: the journal version's."""
    view_px: int = 256
    """Side of the network's view."""
    ngf: int = 64
    """Channels of the finest level."""
    style_hidden: int = 9984
    """adain: width of the MLP from an identity feature to means and deviations."""
    feature: int = 512
    """adain: length of the identity feature."""
    memory_slots: int = 30000
    """adain: slots of the memory of identity features."""
    query_width: int = 64
    """adain: channels of the first stage of the query network's ResNet-18."""
    discriminator_width: int = field(default=64, metadata={"was": "judge_width"})
    """Channels of the first layer of the discriminator."""
    mirror: bool = False
    """Whether half of the training pictures are mirrored, background and asymmetries included."""
    loss_weights: dict[str, float] = field(
        default_factory=lambda: {"adversarial": 1.0, "picture": 100.0, "mask": 2.0, "mask_smoothness": 1e-5},
        metadata={"keys": {"fool": "adversarial"}},
    )
    """Of the losses of `official.recipe.generator_losses`; these are the published ones for
    fine-tuning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitConfig:
    """How an avatar is made from a clip. The program's settings, not the weights': no card of weights keeps them."""

    least_s: float = 12.0
    """Shortest clip."""
    train_frames: int | None = None
    """Leading frames to train on (the paper's 300); None: all but the held-out ones."""
    test_first: int = 300
    """The first held-out frame; of clips that are too short for it the last frames are held out."""
    test_frames: int = 100
    """Held-out frames, on which the avatar is evaluated."""
    most_frames: int = 1500
    """adain, unetac: frames of a long clip that the renderer is trained on, evenly chosen."""
    shown_frames: int = 1500
    """Leading frames of the clip whose heads and eyes the avatar keeps and shows under new speech."""
    one_shot: bool = True
    """Whether a cut in the clip is an error; false for sentences recorded one by one with a fixed camera."""
    audio_steps: int = 100
    renderer_steps: int = OFFICIAL_STEPS
    """adain, unetac."""
    batch_size: int = 8
    """adain, unetac: pictures of a step."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadposeConfig:
    """All settings of `headpose`."""

    face_model: Literal["mesh478", "bfm09"] = "mesh478"
    """The face that is rendered for the published generators: the refined mesh of 478 points, or the Basel model of
    files of your own (`talkingface weights import headpose FILES`). Speech and head motion are mesh478's either way."""
    reconstruction: Literal["fitted", "learned"] = "fitted"
    """bfm09: how the person is reconstructed: fitted to the clip's points and colours, or by the imported R-Net as in
    the original, with the model's own colours."""
    relative_matching: bool = False
    """Match generated poses to frames as the journal version does, by changes of pose."""
    audio: AudioConfig = field(default_factory=AudioConfig)
    renderer: RendererConfig = field(default_factory=RendererConfig)
    splats: SplatConfig = field(default_factory=SplatConfig)
    """compact: what draws the person."""
    fit: FitConfig = field(default_factory=FitConfig)

    def __post_init__(self) -> None:
        if self.face_model != "mesh478" and self.renderer.kind == "compact":
            raise ValueError(
                f"face_model {self.face_model} is drawn for the renderers adain and unetac (presets official and "
                "journal); compact draws splats and needs mesh478"
            )
        if self.reconstruction == "learned" and self.face_model != "bfm09":
            raise ValueError("reconstruction learned gives the Basel model's numbers; it needs face_model bfm09")


def read_config(stored: Any) -> HeadposeConfig:
    """The config in a card of any version; settings that came later have their defaults. Raises UsageError."""
    if isinstance(stored, dict):
        stored = upgrade(stored, HeadposeConfig)
        if isinstance(renderer := stored.get("renderer"), dict):
            renderer.pop("widths", None)  # of the network that drew the compact variant before
    return from_dict(HeadposeConfig, stored)


ENCODER = "speech_encoder.v1"
TINY_AUDIO = AudioConfig(channels=(4, 4, 4, 4, 4), hidden_fc=8, hidden=8, layers=1, expression=16)
TINY_FIT = FitConfig(least_s=1.0, test_frames=12, audio_steps=3, renderer_steps=3, batch_size=2)


def preset(name: str) -> HeadposeConfig:
    """The config called `name`: "compact" (two CPU cores), "official" (2020), "journal" (2022).

    For tests: "tiny", "tiny_official", "tiny_journal".
    """
    compact = HeadposeConfig(
        audio=AudioConfig(encoder=ENCODER, expression=16),
        renderer=RendererConfig(kind="compact"),
    )
    if name == "compact":
        return compact
    if name == "tiny":
        return HeadposeConfig(
            audio=AudioConfig(encoder=ENCODER, speech=SpeechHeadConfig(width=16, dilations=(1, 2)), expression=16),
            renderer=RendererConfig(kind="compact"),
            splats=SplatConfig(level=0, scene=300, basis=4, hidden=8, nodes=4, face_px=80, most_frames=40, steps=30),
            fit=TINY_FIT,
        )
    journal = name.endswith("journal")
    official = HeadposeConfig(
        audio=AudioConfig(expression=20),
        renderer=RendererConfig(kind="unetac" if journal else "adain"),
        fit=FitConfig(train_frames=300, audio_steps=1700),
        relative_matching=journal,
    )
    if not name.startswith("tiny"):
        return official
    small = replace(
        official.renderer, ngf=2, style_hidden=16, feature=32, memory_slots=24, query_width=4, discriminator_width=4
    )
    return replace(official, audio=TINY_AUDIO, renderer=small, fit=TINY_FIT)
