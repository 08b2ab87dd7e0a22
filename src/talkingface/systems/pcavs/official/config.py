"""Settings of the published networks and of their training. Defaults exist here only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from talkingface.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSizes:
    """Sizes of V, E, A_sync, G and D; the defaults are the published ones."""

    crop_px: int = 224
    """Side of the networks' pictures: 7 times a power of two."""
    identity_width: int = 64
    """V: channels of the first stage; the identity vector has 32 times as many numbers."""
    identity_blocks: tuple[int, int, int, int] = (3, 4, 6, 3)
    speech_widths: tuple[int, ...] = (32, 64, 128, 256)
    """A_sync: channels of its stages."""
    speech_blocks: tuple[int, ...] = (3, 4, 6, 3)
    fan_width: int = 64
    """E: channels of the first convolution."""
    fan_depth: int = 4
    """E: halvings inside the hourglass."""
    code: int = 512
    """Length of the speech code and of the non-identity code; mouth and pose parts of the style add up to it."""
    pose: int = 12
    """Numbers of the pose code."""
    most_channels: int = 512
    """G: channels of the first feature map, which the identity map has as well."""
    discriminator_width: int = field(default=64, metadata={"was": "judge_width"})
    """D: channels of the first layer."""

    @property
    def style(self) -> int:
        """Length of the whole style."""
        return 32 * self.identity_width + self.code


PUBLISHED_WEIGHTS = {
    "crossmodal": 1.0,
    "contrast_audio": 100.0,
    "contrast_video": 100.0,
    "match_video": 10.0,
    "match_audio": 10.0,
    "adversarial_video": 1.0,
    "adversarial_audio": 1.0,
    "vgg_video": 10.0,
    "vgg_audio": 10.0,
    "face_video": 5.0,
    "face_audio": 5.0,
    "person": 1.0,
    "wordless": 1e6,
    "discriminator_fake": 1.0,
    "discriminator_real": 1.0,
    "word": 1.0,
}
"""Weights of the losses of stage 3, see `official.losses`."""
_WORDS = {"adversarial": "fool", "discriminator": "judge", "audio": "heard", "video": "seen"}
_OLD_LOSSES = {"_".join(_WORDS.get(word, word) for word in name.split("_")): name for name in PUBLISHED_WEIGHTS}
"""Names of version 1 -> names of today, as in cards and configs made before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialTraining:
    """How the three stages are trained."""

    begin: tuple[str, ...] = ()
    """Folders of earlier trainings (or of imported weights) whose networks the stage starts from; later ones win."""
    identity_batch: int = 64
    sync_clips: int = 8
    sync_windows: int = 4
    """Moments of each clip in a batch of stage 2; the others of a clip are its time-shifted negatives."""
    apart_frames: int = 5
    """Least distance of those moments: windows of five frames that share none."""
    sync_backbone: bool = True
    """Whether stage 2 trains all of E; false keeps a FAN that was trained elsewhere, and trains `to_mouth` alone."""
    clips: int = 4
    """Clips in a batch of stage 3."""
    frames: int = 1
    """Frames of each."""
    frame_interval: int = 1
    distant_frames: int = 50
    """How far away in time the identity picture should lie; short clips give their farthest."""
    contrast: Literal["cosine", "distance"] = "cosine"
    """cosine: the paper's similarity; distance: the public program's."""
    augment: bool = True
    audio_only: bool = field(default=False, metadata={"was": "heard_only"})
    """Draw by speech alone, without the video-driven picture: the last phase of the published training."""
    loss_weights: dict[str, float] = field(default_factory=dict, metadata={"keys": _OLD_LOSSES})
    """Weights of stage 3 that differ from `PUBLISHED_WEIGHTS`."""
    identity_steps: int = 100_000
    sync_steps: int = 50_000
    generator_steps: int = 200_000
    """Of `talkingface train pcavs.official`; the authors' settings are not published."""

    def all_loss_weights(self) -> dict[str, float]:
        """The published weights with those of `loss_weights` in their places. Raises UsageError for other names."""
        if unknown := sorted(set(self.loss_weights) - set(PUBLISHED_WEIGHTS)):
            known = ", ".join(PUBLISHED_WEIGHTS)
            raise UsageError(f"loss_weights names {unknown[0]!r}, which is no loss of stage 3; known: {known}")
        return {**PUBLISHED_WEIGHTS, **self.loss_weights}


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficialConfig:
    """The published networks and their training."""

    sizes: NetworkSizes = field(default_factory=NetworkSizes)
    training: OfficialTraining = field(default_factory=OfficialTraining)


def tiny_official() -> OfficialConfig:
    """Networks that train in seconds, for tests."""
    sizes = NetworkSizes(
        crop_px=56,
        identity_width=4,
        identity_blocks=(1, 1, 1, 1),
        speech_widths=(4, 4, 8, 8),
        speech_blocks=(1, 1, 1, 1),
        fan_width=4,
        fan_depth=2,
        code=32,
        pose=4,
        most_channels=8,
        discriminator_width=4,
    )
    training = OfficialTraining(
        identity_batch=4, sync_clips=2, sync_windows=2, clips=2, identity_steps=2, sync_steps=2, generator_steps=2
    )
    return OfficialConfig(sizes=sizes, training=training)
