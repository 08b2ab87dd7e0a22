"""The compact renderer: the clip's frames, warped, corrected by the network, and blended back into the whole
picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import nn

from talkingface.core.device import likes_bfloat16
from talkingface.core.motion import batches
from talkingface.core.stream import ordered_map_with
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import tensors_of
from talkingface.systems.headpose.compact.networks import CompactUNet
from talkingface.systems.headpose.compositing.clip import AvatarClip, ClipPlayer, choose_framing, warp_frame
from talkingface.systems.headpose.compositing.composite import (
    Background,
    Compositor,
    blend_view,
    border_fade,
    face_weight,
    sample_view,
    view_matrix,
)
from talkingface.systems.headpose.config import HeadposeConfig

WORKERS = 2  # batches in the making at a time, each in a thread: drawing, the network and encoding release the GIL
BATCH = 8  # frames that the network sees at a time. Always full (padded), so that results do not depend on the split.

_Batch = tuple[int, list[tuple[np.ndarray, int, np.ndarray, np.ndarray]]]
"""First frame, then for each: the clip's picture, its number, pose row and expression."""


class CompactRenderer:
    """Draws motion with a clip's frames and a network that gives `RendererOutput`."""

    def __init__(
        self,
        clip: AvatarClip,
        model: LinearFaceModel,
        network: nn.Module,
        view_px: int,
        controls: Controls,
        device: str = "cpu",
    ) -> None:
        self._clip, self._model, self._network, self._view_px = clip, model, network, view_px
        self._controls, self._device = controls, device
        self._framing = choose_framing(clip, controls)
        self._background = Background(controls, self._framing.size)
        self._fade = border_fade(view_px)
        self._precision = next((p.dtype for p in network.parameters()), torch.float32)

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`."""
        return ordered_map_with(
            lambda: Compositor(self._framing.size), self._make, self._batches(motions, first), WORKERS
        )

    def _batches(self, motions: Iterator[Motion], first: int) -> Iterator[_Batch]:
        player = ClipPlayer(self._clip.head, self._controls)
        for start, motion in batches(motions, BATCH):
            rows, numbers = player.play(motion)  # also for frames that are not drawn: the player has a state
            skip = min(max(0, first - start), len(motion))
            if skip < len(motion):
                pictures = [self._clip.frames[int(n)] for n in numbers[skip:]]
                frames = zip(pictures, numbers[skip:].tolist(), rows[skip:], motion.expression[skip:], strict=True)
                yield start + skip, list(frames)

    def _make(self, compositor: Compositor, batch: _Batch) -> Frames:
        start, frames = batch
        warped = [warp_frame(compositor, self._clip, self._model, self._framing, *frame) for frame in frames]
        matrices = [view_matrix(frame.target, self._view_px) for frame in warped]
        views = [sample_view(w.picture, m, self._view_px) for w, m in zip(warped, matrices, strict=True)]
        colour, share = self._correct(np.stack(views + [views[-1]] * (BATCH - len(views))))
        for k, (frame, matrix) in enumerate(zip(warped, matrices, strict=True)):
            face = face_weight(frame.points, matrix, frame.target, self._view_px) * (self._fade / 255)
            blend_view(frame.picture, colour[k], share[k] * face, matrix)
        return self._background.frames(start, [frame.picture for frame in warped])

    def _correct(self, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours uint8 [B, S, S, 3] and their opacity float32 [B, S, S] for views uint8 [B, S, S, 3]."""
        with torch.inference_mode():
            pictures = torch.from_numpy(views).to(self._device).permute(0, 3, 1, 2).float() / 255
            output = self._network(pictures.to(self._precision))
            colour = (output.colour.float() * 255).round().byte().permute(0, 2, 3, 1).contiguous().cpu().numpy()
            return colour, 1 - output.mask[:, 0].float().cpu().numpy()


def load_compact(
    config: HeadposeConfig, tensors: Mapping[str, np.ndarray], clip: AvatarClip, model: LinearFaceModel, device: str
) -> Callable[[Controls], CompactRenderer]:
    """What makes renderers of an avatar's tensors. Raises RuntimeError for other tensors."""
    network = CompactUNet(config.renderer.widths)
    network.load_state_dict(tensors_of(tensors, "renderer"))
    precision = torch.bfloat16 if likes_bfloat16(device) else torch.float32
    network = network.eval().to(device, precision, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return lambda controls: CompactRenderer(clip, model, network, config.renderer.view_px, controls, device)
