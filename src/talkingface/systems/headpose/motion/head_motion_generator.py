"""Head motion by the journal version's networks, for people who imported them: how this person moves, then how such a
person moves to this speech (Yi et al. 2022, see `motion_nets`).

The networks were published without their training, so there are none of ours. They speak the published convention
(`convention.pose_of`); what they predict chooses frames of the clip, as every generated pose does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from talkingface.face.fit3d import VideoFit
from talkingface.face.morphable import LinearFaceModel
from talkingface.systems.headpose.motion.from_audio import begun_near, cepstra
from talkingface.systems.headpose.motion.matching import JOURNAL, match_background
from talkingface.systems.headpose.motion.motion_nets import BehaviourEncoder, MotionDecoder
from talkingface.systems.headpose.official.convert import load_into
from talkingface.systems.headpose.official.data import View
from talkingface.systems.headpose.official.face.convention import CAMERA, pose_of

OBSERVED = 300
"""Frames that the behaviour is read from, at most."""


def published_poses(fit: VideoFit, model: LinearFaceModel, view: View) -> np.ndarray:
    """Angles and translation of every frame, float32 [T, 6], as the published camera would see them in the view."""
    scale = view.scale * CAMERA.size[0] / view.side_px
    crop = View(x=view.x, y=view.y, scale=scale, side_px=CAMERA.size[0])
    angles, translation = pose_of(model, fit.head.rotation, fit.head.translation, crop.camera(fit.head.camera))
    return np.concatenate([angles, translation], axis=1).astype(np.float32)


@torch.inference_mode()
def behaviour_of(encoder: Mapping[str, Tensor], poses: np.ndarray) -> np.ndarray:
    """The person's behaviour float32 [10] in poses [T, 6]."""
    network = encoder_for(encoder)
    load_into(network, encoder, "the imported behaviour network")
    inputs = torch.from_numpy(poses[:OBSERVED, : network.pose_lstm.input_size])
    return network.eval()(inputs[None])[0].numpy()


class Mover:
    """Chooses frames of a clip for a voice. `angles` float32 [M, 3] of its frames, of which `seen` bool [M] count."""

    def __init__(
        self, decoder: Mapping[str, Tensor], behaviour: np.ndarray, angles: np.ndarray, seen: np.ndarray, device: str
    ) -> None:
        self._net = decoder_for(decoder)
        load_into(self._net, decoder, "the motion network")
        self._net.eval().to(device)
        self._behaviour = torch.from_numpy(behaviour.astype(np.float32))[None].to(device)
        self._angles, self._seen, self._device = angles, seen, device

    @torch.inference_mode()
    def played(self, samples: np.ndarray, frames: int, seed: int) -> np.ndarray:
        """Frames of the clip, int [T], for speech float32 [N] at 16 kHz."""
        rows = torch.from_numpy(cepstra(samples, frames))[None].to(self._device)
        wanted = self._net(rows, self._behaviour)[0, :, :3].float().cpu().numpy()
        return match_background(begun_near(wanted, self._angles, self._seen, seed), self._angles, JOURNAL).source


def encoder_for(state: Mapping[str, Tensor]) -> BehaviourEncoder:
    """A behaviour network of the sizes in its state. Raises KeyError for another state."""
    steps = sum(name.endswith(".fc.0.weight") for name in state)
    return BehaviourEncoder(
        inputs=int(state["pose_lstm.weight_ih_l0"].shape[1]),
        behaviour=len(state[f"fc.{steps}.weight"]),
        hidden=int(state["pose_lstm.weight_hh_l0"].shape[1]),
        layers=sum(name.startswith("pose_lstm.weight_ih_l") for name in state),
        widths=[len(state[f"fc.{k}.fc.0.weight"]) for k in range(steps)],
    )


def decoder_for(state: Mapping[str, Tensor]) -> MotionDecoder:
    """A motion network of the sizes in its state. Raises KeyError for another state."""
    steps = sum(name.endswith(".fc.0.weight") for name in state)
    gathered = len(state["audio_frame_gather.weight"])
    return MotionDecoder(
        inputs=int(state["audio_lstm.weight_ih_l0"].shape[1]),
        behaviour=int(state["sfc.0.fc.0.weight"].shape[1]) - gathered,
        outputs=len(state[f"sfc.{steps}.weight"]),
        hidden=int(state["audio_lstm.weight_hh_l0"].shape[1]),
        layers=sum(name.startswith("audio_lstm.weight_ih_l") for name in state),
        widths=[gathered, *(len(state[f"sfc.{k}.fc.0.weight"]) for k in range(steps))],
    )
