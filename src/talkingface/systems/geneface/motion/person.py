"""What the general networks hear, as the mouth of one person: in NumPy, frame by frame, the same for any split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from talkingface.core.arrays import part
from talkingface.face.head_motion import NoiseProcess
from talkingface.face.spoken_mouth import NUM_MOUTH, MouthShaper, SpeechRows
from talkingface.nn.phones import PHONES
from talkingface.nn.speech_stream import ConvStream

TAPS = 3
"""Frames, the present one last, that the affine map reads: it looks no farther ahead than the networks."""
OUTPUTS = NUM_MOUTH + len(PHONES) + 2
"""Of a speech head (`training.speech_recipe`)."""
Tensors = Mapping[str, np.ndarray]


def general_numbers(rows: np.ndarray) -> np.ndarray:
    """What an affine map reads of a speech head's numbers [T, outputs]: coefficients as they are, phones and closures
    as probabilities."""
    logits = rows[:, NUM_MOUTH:-2]
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    return np.concatenate([rows[:, :NUM_MOUTH], share, 1 / (1 + np.exp(-rows[:, -2:]))], axis=1)


class Taps:
    """Rows [T, D] with the `TAPS` - 1 before them, [T, TAPS D]; before the first row are copies of it."""

    def __init__(self) -> None:
        self._past: np.ndarray | None = None

    def push(self, rows: np.ndarray) -> np.ndarray:
        """The next rows."""
        if not len(rows):
            return np.zeros((0, TAPS * rows.shape[1]), rows.dtype)
        past = np.repeat(rows[:1], TAPS - 1, axis=0) if self._past is None else self._past
        joined = np.concatenate([past, rows])
        self._past = joined[-(TAPS - 1) :]
        return np.concatenate([joined[k : k + len(rows)] for k in range(TAPS)], axis=1)


class PostStream:
    """The small adapter: y + what causal convolutions make of y [T, 16] in its units.

    `post.scale` [16], `post.<k>.weight` [out, in, 3] and `post.<k>.bias`.
    """

    def __init__(self, tensors: Tensors) -> None:
        self._scale = tensors["scale"]
        self._layers = [
            ConvStream(tensors[f"{k}.weight"], tensors[f"{k}.bias"], right=0)
            for k in range(sum(name.endswith(".bias") for name in tensors))
        ]

    def push(self, rows: np.ndarray) -> np.ndarray:
        """float32 [T, 16] -> the same."""
        x = rows / self._scale
        for number, layer in enumerate(self._layers):
            x = layer.push(x if number == 0 else np.maximum(x, np.float32(0.2) * x))
        return rows + x * self._scale


class RangeKeeper:
    """Makes voices of strangers move the mouth about as far as the person's own does.

    Voices and languages that the networks know less well move it less. Mean and deviation of gap, width and jaw while
    there is voice are followed, beginning with the person's own `mean` [3] and `deviation` [3] as if they had been
    heard for `PRIOR` frames, and brought back towards those.
    """

    PRIOR, MEMORY = 15, 300
    GAINS = (0.88, 2.5)
    SHIFT = 0.5
    """Share of the distance to the person's mean that is taken away."""

    def __init__(self, measures: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
        self._measures, self._back = measures, np.linalg.pinv(measures.astype(np.float64)).T.astype(np.float32)
        self._own, self._deviation = mean.astype(np.float64), deviation.astype(np.float64)
        self._mean, self._power = self._own.copy(), self._deviation**2
        self._heard = 0

    def push(self, mouth: np.ndarray, voice: np.ndarray) -> np.ndarray:
        """Mouths [T, 16] with probabilities of voice [T] -> the same moved farther, or less far."""
        found = (mouth @ self._measures.T).astype(np.float64)
        change = np.empty_like(found)
        for k, (now, sure) in enumerate(zip(found, voice.tolist(), strict=True)):
            if sure > 0.5:
                self._heard = min(self._heard + 1, self.MEMORY)
                share = 1 / (self.PRIOR + self._heard)
                away = now - self._mean
                self._mean = self._mean + share * away
                self._power = self._power + share * (away**2 - self._power)
            gain = np.clip(self._deviation / np.sqrt(self._power), *self.GAINS)
            change[k] = (gain - 1) * (now - self._mean) + self.SHIFT * (self._own - self._mean)
        return mouth + change.astype(np.float32) @ self._back


class PersonMouth:
    """Mouth coefficients of a person, from what a head of the general networks says for a `delay`.

    `adapter` (tensors of `adapt.Adapter`; empty: nobody in particular), `measures` [3, 16] and `gain` [3] as in
    `MouthShaper`, the gain being for nobody in particular.
    """

    def __init__(self, adapter: Tensors, measures: np.ndarray, gain: np.ndarray, delay: str, seed: int) -> None:
        self._affine = part(adapter, delay)
        self._taps = Taps()
        post = part(adapter, "post")
        self._post = PostStream(post) if post else None
        self._known = adapter.get("lle.known")
        self._share, self._unit = float(adapter.get("lle.share", np.zeros(1))[0]), adapter.get("lle.unit", np.ones(1))
        self._range: RangeKeeper | None = None
        if "own.mean" in adapter:
            self._range = RangeKeeper(measures, adapter["own.mean"], adapter["own.deviation"])
        kernel = adapter.get("mood.kernel")
        self._mood = None if kernel is None else NoiseProcess(kernel, seed)
        self._frame = 0
        own = np.ones(3, np.float32) if self._affine else gain
        closed = float(adapter["closed"][0]) if "closed" in adapter else 0.0
        self._shaper = MouthShaper(measures, own, adapter.get("rest"), closed)

    def push(self, numbers: np.ndarray, rows: SpeechRows) -> np.ndarray:
        """Float32 [T, 16] of the head's `numbers` [T, outputs], which say `rows`; those of the tuned head follow."""
        mouth = self.adapted(numbers) if self._affine else rows.mouth
        if self._range is not None:
            mouth = self._range.push(mouth, rows.voice)
        if self._mood is not None:
            mouth = mouth + np.array([self._mood.at(1.0 + self._frame + k) for k in range(len(mouth))], np.float32)
        self._frame += len(mouth)
        return self._shaper.push(replace(rows, mouth=mouth.astype(np.float32)))

    def adapted(self, numbers: np.ndarray) -> np.ndarray:
        """The same before rest, closures and mood."""
        seen = self._taps.push(general_numbers(numbers[:, :OUTPUTS]))
        if len(self._affine["matrix"]) > seen.shape[1]:
            seen = np.concatenate([seen, numbers[:, OUTPUTS : OUTPUTS + NUM_MOUTH]], axis=1)
        mouth = (seen @ self._affine["matrix"] + self._affine["bias"]).astype(np.float32)
        if self._post is not None:
            mouth = self._post.push(mouth)
        if self._known is not None and len(mouth):
            from talkingface.systems.geneface.official.lle import project  # brings torch, which a mouth does not need

            unit = self._unit
            near = project(mouth / unit, self._known / unit).rows * unit
            mouth = mouth + np.float32(self._share) * (near.astype(np.float32) - mouth)
        return mouth


def tuned(head: Tensors, additions: Tensors) -> dict[str, np.ndarray]:
    """A head with what `tune.TunedHead.tensors` adds to it."""
    found = {name: np.array(value, np.float32) for name, value in head.items()}
    found["head.bias"][:NUM_MOUTH] += additions["offset"]
    for name, down in additions.items():
        if name.endswith(".down"):
            matrix = name.removesuffix(".down")
            found[matrix] += (additions[f"{matrix}.up"] @ down).reshape(found[matrix].shape)
    return found
