"""The published renderers: composites of three frames go through a generator, and its picture back into the clip's
frame.

The background of the drawn face is a clip's frame that is warped as in the compact variant: in training the drawn jaw
always meets the frame's own, and without the warp it would not here. The original blended a rectangle into the source
frame, which dragged neck and collar along; here a soft mask of the face is blended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from talkingface.core.motion import batches
from talkingface.core.stream import ordered_map_with
from talkingface.core.system import Weights
from talkingface.core.types import Controls, Frames, Motion
from talkingface.face.fit3d import VideoFit
from talkingface.face.morphable import LinearFaceModel
from talkingface.nn.state import part, tensors_of
from talkingface.systems.headpose.compositing.clip import (
    AvatarClip,
    ClipPlayer,
    choose_framing,
    warp_frame,
    whole_frame,
)
from talkingface.systems.headpose.compositing.composite import (
    Background,
    Compositor,
    blend_view,
    border_fade,
    face_weight,
)
from talkingface.systems.headpose.config import HeadposeConfig, RendererConfig
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.face.render import FaceRenderer, View
from talkingface.systems.headpose.official.face.render_model import FaceRenderModel, face_render_model, fit_from_tensors
from talkingface.systems.headpose.official.fast import BATCH, FastInference, InferenceNets, with_history
from talkingface.systems.headpose.official.memory import PERIOD, MemoryBank, make_query
from talkingface.systems.headpose.official.networks import (
    HISTORY,
    UNetAC,
    UNetAdaIN,
    make_generator,
    to_bytes,
    to_signed,
)
from talkingface.video.resize import shrink

WORKERS = 2  # composites in the making at a time, each in a thread

_Job = tuple[int, np.ndarray, int, np.ndarray, np.ndarray]
"""Number of a frame; then the clip's picture, its number, pose row and expression."""
Inference = Callable[[Iterable[Tensor]], Iterator[Tensor]]
"""Composites [3, S, S] in [-1, 1] -> pictures, one from the third composite on."""


def unetac_inference(network: UNetAC) -> Inference:
    """The generator of 2022 in small batches, channels last. Batches are always full, so that results do not depend on
    where the stream ends."""
    network = network.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    @torch.inference_mode()
    def draw(frames: list[Tensor]) -> Iterator[Tensor]:
        full = torch.stack(frames + [frames[-1]] * (BATCH - len(frames)))
        yield from network(full.contiguous(memory_format=torch.channels_last)).picture[: len(frames)].float()

    def run(composites: Iterable[Tensor]) -> Iterator[Tensor]:
        frames = with_history(composites)
        while batch := list(islice(frames, BATCH)):
            yield from draw(batch)

    return run


@dataclass(frozen=True, slots=True)
class _Composed:
    """One frame on its way to the generator: the `picture` that its result is blended into, with opacity `share`."""

    number: int
    composite: np.ndarray
    picture: np.ndarray
    share: np.ndarray


class OfficialRenderer:
    """Draws motion with a clip's frames, the person in three dimensions and a published generator."""

    def __init__(
        self,
        clip: AvatarClip,
        fit: VideoFit,
        face: FaceRenderModel,
        view: View,
        inference: Inference,
        model: LinearFaceModel,
        controls: Controls,
        device: str = "cpu",
    ) -> None:
        self._clip, self._view, self._inference, self._model = clip, view, inference, model
        self._controls, self._device = controls, device
        self._face = FaceRenderer(fit, face, view)
        self._framing, self._whole = choose_framing(clip, controls), whole_frame(clip)
        self._size = head_size(view, controls) if controls.crop == "head" else self._framing.size
        self._background = Background(controls, self._size)
        self._fade = border_fade(view.side_px)

    def frames(self, motions: Iterator[Motion], first: int = 0) -> Iterator[Frames]:
        """See `core.system.Renderer`.

        Features and batches are counted from frame 0, so drawing begins at the last whole period before `first` and
        gives the same pictures to the bit.
        """
        begin = first // PERIOD * PERIOD
        waiting: deque[_Composed] = deque()
        done: list[np.ndarray] = []
        start = first
        for generated in self._inference(self._composites(motions, begin, waiting)):
            composed = waiting.popleft()
            if composed.number < first:
                continue
            if not done:
                start = composed.number
            done.append(self._blend(composed, to_bytes(generated[None])[0]))
            if len(done) == BATCH:
                yield self._background.frames(start, done)
                done = []
        if done:
            yield self._background.frames(start, done)

    def _composites(self, motions: Iterator[Motion], begin: int, waiting: deque[_Composed]) -> Iterator[Tensor]:
        """Composites as the generator takes them, with the two before frame `begin`; frame 0 is its own past. Frames
        from `begin` on join those `waiting`."""
        fresh = True
        for composed in self._composed(motions, max(0, begin - HISTORY + 1)):
            signed = to_signed(torch.from_numpy(composed.composite).to(self._device).permute(2, 0, 1))
            if fresh and composed.number >= begin:
                yield from (signed for _ in range(HISTORY - 1))
            fresh = False
            if composed.number >= begin:
                waiting.append(composed)
            yield signed

    def _composed(self, motions: Iterator[Motion], begin: int) -> Iterator[_Composed]:
        return ordered_map_with(lambda: Compositor(self._clip.size), self._compose, self._jobs(motions, begin), WORKERS)

    def _jobs(self, motions: Iterator[Motion], begin: int) -> Iterator[_Job]:
        player = ClipPlayer(self._clip.head, self._controls)
        for start, motion in batches(motions, BATCH):
            rows, sources = player.play(motion)  # also for frames that are not drawn: the player has a state
            for k in range(max(0, begin - start), len(motion)):
                source = int(sources[k])
                yield start + k, self._clip.frames[source], source, rows[k], motion.expression[k]

    def _compose(self, compositor: Compositor, job: _Job) -> _Composed:
        number, rgb, source, row, expression = job
        view = self._view
        warped = warp_frame(compositor, self._clip, self._model, self._whole, rgb, source, row, expression)
        move = (warped.own, warped.target) if warped.moved else None
        composite = self._face.render_over(view.cut(warped.picture), source, change=warped.change, move=move)
        if self._controls.crop == "head":
            return _Composed(number, composite, composite, self._fade)
        weight = face_weight(warped.points, view.matrix, warped.target, view.side_px).astype(np.float32) / 255
        return _Composed(number, composite, self._framing.cut(warped.picture), weight * self._fade)

    def _blend(self, composed: _Composed, generated: np.ndarray) -> np.ndarray:
        """The generated view in its picture, or by itself."""
        if self._controls.crop == "head":
            if self._size[0] <= generated.shape[1]:
                return np.array(shrink(generated, self._size), order="C")
            return cv2.resize(generated, self._size, interpolation=cv2.INTER_CUBIC)
        framing, view = self._framing, self._view
        scale = view.scale / framing.factor
        corner = view.scale * (framing.offset - (view.x, view.y))
        blend_view(
            composed.picture, generated, composed.share, np.array([[scale, 0, corner[0]], [0, scale, corner[1]]])
        )
        return composed.picture


def head_size(view: View, controls: Controls) -> tuple[int, int]:
    """Size of the face alone: the network's own, as large as in the clip ("native"), or as asked for."""
    wanted = controls.size
    side = view.side_px if wanted is None else round(view.side_px / view.scale) if wanted == "native" else int(wanted)
    return max(2, side), max(2, side)


def load_official(
    config: HeadposeConfig, tensors: Mapping[str, np.ndarray], clip: AvatarClip, model: LinearFaceModel, device: str,
    weights: Weights | None = None,
) -> Callable[[Controls], OfficialRenderer]:  # fmt: skip
    """What makes renderers of an avatar's tensors. Raises KeyError, ValueError, RuntimeError or WeightsError for other
    tensors, and WeightsError if the config's face model was not imported."""
    face = face_render_model(config, weights)
    fit = fit_from_tensors(face.model, part(tensors, "solid") | part(tensors, "clip.solid"))
    if fit.albedo.shape != (face.surface.num_vertices, 3) or len(fit) != len(clip.head):
        raise ValueError("the face's colours or frames do not belong to this clip")
    view, inference = View.from_row(tensors["view"]), _load_inference(config.renderer, tensors, device)
    return lambda controls: OfficialRenderer(clip, fit, face, view, inference, model, controls, device)


def _load_inference(config: RendererConfig, tensors: Mapping[str, np.ndarray], device: str) -> Inference:
    generator: Any = make_generator(config)
    load_into(generator, tensors_of(tensors, "renderer"), "the avatar's generator")
    generator.eval().requires_grad_(False).to(device)
    if not isinstance(generator, UNetAdaIN):
        return unetac_inference(generator)
    query = make_query(config)
    load_into(query, tensors_of(tensors, "query"), "the avatar's query network")
    bank = MemoryBank.from_tensors(tensors_of(tensors, "bank")).to(device)
    return FastInference(InferenceNets(generator=generator, query=query.eval().to(device), bank=bank)).run
