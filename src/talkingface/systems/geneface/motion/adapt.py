"""The adapter to one person, chosen without a human: an affine map of what the general networks hear, and, where they
are better on frames that they have not seen, a projection onto what the person did or the adversarial post-net.

The general networks say what a voice means; the adapter says how this person's mouth does it. A map that only makes the
error small moves too little, and lips that move little are out of step for the eye: maps are stretched to the person's
own range, mixed with the general movement, and the mixture is chosen by error and by agreement with the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.audio.speech_encoder import COLUMNS_PER_FRAME, SILENCE, encoder_columns
from talkingface.core.arrays import part
from talkingface.core.lags import correlation, correlation_at
from talkingface.face.head_motion import HeadMotion
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.mouth_shape import parting, stretching
from talkingface.face.mouth_view import VIEW_HW, MouthView, mouth_shape
from talkingface.face.spoken_mouth import FPS, NUM_MOUTH, MouthShaper, SpeechRows, read_rows
from talkingface.metrics.sync_expert import SyncExpert
from talkingface.nn.speech_stream import HeadStream
from talkingface.systems.geneface.landmarks3d import landmark_displacements
from talkingface.systems.geneface.motion.config import DELAYS
from talkingface.systems.geneface.motion.person import TAPS, PersonMouth, Taps, general_numbers, tuned
from talkingface.systems.geneface.motion.postnet import AdapterRecipe, stops
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.systems.geneface.motion.tune import TuneRecipe, tune_head
from talkingface.training.head_motion_fit import SHORTEST_CLIP, SMOOTHING_FRAMES, noise_kernel, smoothed_channels
from talkingface.training.hear_differently import Surroundings
from talkingface.training.mouth_targets import retime
from talkingface.training.recipe import make_rng
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.training.speech_recipe import heard_columns

if TYPE_CHECKING:
    from talkingface.person.clip import PersonClip

FOLDS = 3
APART = 12
"""Frames beside a fold that train nothing: they look like those in it."""
MIXES = (
    (0.0, 0.0, 1.0), (0.5, 0.0, 0.5), (0.75, 0.0, 0.25), (0.0, 1.0, 0.0), (0.3, 0.7, 0.0), (0.5, 0.5, 0.0),
    (0.3, 0.4, 0.3),
)  # fmt: skip
"""Shares of a map of what the general head says, of a head tuned to the person, and of the general head's movement
about the person's mean."""
TARGETS = (0.85, 1.0)
"""How far gap, width and jaw move beside the person's own."""
PARTS = ("map", "tuned", "general")
SAMPLES = 640
RIDGE = 1.0
COPIES = 3
"""Times that the person's words are heard in other voices, so that the map holds for other voices."""
GAINS = (0.5, 2.5)
SYNC_SLACK = 0.005
"""By how much confidence may be lower and count as not lower."""
LATEST = 24
"""Steps of 10 ms by which lips may be late or early."""
MOOD, MOOD_FRAMES = 0.2, 20
"""Of what the map leaves unsaid, as a share of its deviation, what the seed moves, and how slowly."""
LIMIT, VOICES = 2.5, 3
"""Deviations that generated head motion may reach, and seeds on which its size is measured."""
KNOWN, LLE_SHARE = 256, 0.5
CLEARLY = 0.985
"""Share of the affine map's error under which something is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """`kind`: "affine", "lle" or "postnet", what is on top of the affine map; `tensors` for `PersonSpeech`; `figures`
    for the card: held-out landmark errors in mm, sync confidences, movement beside the person's own."""

    kind: str
    tensors: dict[str, np.ndarray]
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A person's clip as a delay hears it, T frames: a head's `numbers` [T, outputs] and what they say (`rows`); and
    the same words in other voices. `tokens` [2 T, width] of all voices, the person's first."""

    delay: str
    numbers: np.ndarray
    rows: SpeechRows
    others: Sequence[np.ndarray]
    tokens: Sequence[np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """What the person did: mouth coefficients `shape` [T, 16] in time with the sound, `seen` bool [T], the sound, and
    how late the lips were."""

    shape: np.ndarray
    seen: np.ndarray
    samples: np.ndarray
    late_s: float


class Judge:
    """Landmark error and agreement with the sound of mouth coefficients."""

    def __init__(self, model: LinearFaceModel) -> None:
        unit = np.eye(model.expression.shape[-1])[:NUM_MOUTH]
        self._points = landmark_displacements(model, None, unit).reshape(NUM_MOUTH, -1)
        self._mean, self._basis = model.mean, model.expression[..., :NUM_MOUTH]
        self._expert = SyncExpert.load()

    def error_mm(self, made: np.ndarray, real: np.ndarray) -> float:
        """Mean distance of the 68 landmarks in mm of coefficients [T, 16]."""
        away = ((made - real) @ self._points).reshape(len(made), -1, 3)
        return 10 * float(np.linalg.norm(away, axis=-1).mean()) if len(made) else float("nan")

    def squared(self, made: np.ndarray, real: np.ndarray) -> float:
        """Mean squared landmark error in square centimetres: the published figure."""
        return float((((made - real) @ self._points) ** 2).mean()) if len(made) else float("nan")

    def sync(self, made: np.ndarray, samples: np.ndarray) -> float:
        """The sync expert's confidence by the points alone, for coefficients [T, 16] and their sound; 0 if it can say
        nothing."""
        points = self._mean + np.einsum("vde,te->tvd", self._basis, made)
        blank = np.zeros((len(made), *VIEW_HW), np.uint8)
        view = MouthView(crops=blank, shape=mouth_shape(points), seen=np.ones(len(made), bool))
        found = self._expert.score(view, samples).confidence
        return float(found) if np.isfinite(found) else 0.0


def fit_adapter(
    folder: Path,
    clip: PersonClip,
    general: PersonSpeech,
    train: np.ndarray,
    test: np.ndarray,
    seed: int,
    report: Callable[[str], None] = lambda text: None,
) -> Adapter:
    """The adapter to the person of `clip`, from its frames in `train` bool [T]; those in `test` are measured.

    `general`: the general networks without an adapter. `folder` keeps unfinished work. Takes a minute or two.
    """
    model = load_mesh478()
    return adapt_speech(
        folder, clip.speaking(model, np.ones(len(clip), np.float32)), general, train, test, seed, report
    )


def adapt_speech(
    folder: Path,
    clip: SpeakingClip,
    general: PersonSpeech,
    train: np.ndarray,
    test: np.ndarray,
    seed: int,
    report: Callable[[str], None] = lambda text: None,
) -> Adapter:
    """`fit_adapter` of a clip whose motion is described already."""
    model, rng = load_mesh478(), make_rng(seed, 0)
    judge = Judge(model)
    heard = {delay: hear(general, clip.samples, len(clip), delay, rng) for delay in DELAYS}
    own = own_motion(clip, heard["best"].numbers, train, general.measures)
    train, test = (_fitted(mask, len(own.seen)) & own.seen for mask in (train, test))
    report(f"adapter: lips {own.late_s * 1000:.0f} ms late; {train.sum() / FPS:.0f} s to learn from")
    tensors = person_tensors(own, heard["best"].rows, train, general.measures)
    maps: dict[str, AffineMap] = {}
    for delay in DELAYS:
        maps[delay] = MapChooser(folder, general, heard[delay], own, train, judge, seed).choose(tensors)
        report(f"adapter: {delay}, mixture {maps[delay].mix}, {maps[delay].error_mm:.2f} mm on left-out frames")
        tensors |= {f"{delay}.{name}": value for name, value in maps[delay].tensors.items()}
    kind, extra = choose_refinement(general, heard["best"], own, train, tensors, judge, seed)
    tensors |= extra | mood_tensors(maps["best"].left, general.measures)
    figures = {"late_s": own.late_s}
    figures |= {f"{d}.{name}": share for d in DELAYS for name, share in zip(PARTS, maps[d].mix, strict=True)}
    tensors |= manner_tensors(general, clip, heard["best"].rows, train, seed)
    report(f"adapter: {kind}")
    return Adapter(
        kind=kind, tensors=tensors, figures=figures | held_out_figures(general, tensors, heard, own, test, judge)
    )


def hear(
    general: PersonSpeech, samples: np.ndarray, frames: int, delay: str, rng: np.random.Generator, copies: int = COPIES
) -> Heard:
    """What a delay hears in a voice of `frames` frames."""
    how, head = general.config.hearing(delay), general.heads[delay]
    found = list(general.encoder.frames([samples], head, how.head, how.delay))
    rows = [read_rows(f.start, f.rows, f.loudness, f.level, f.loudest[: len(f.rows)]) for f in found]
    count = min(frames, sum(len(f.rows) for f in found))
    joined = {
        name: np.concatenate([getattr(row, name) for row in rows])[:count]
        for name in ("mouth", "voice", "coming", "closure", "teeth", "loudness", "level", "loudest")
    }
    around = Surroundings([samples], [])
    voices = [_tokens_of(general, encoder_columns(samples[: count * SAMPLES]), delay)]
    voices += [
        _tokens_of(general, heard_columns(samples[: count * SAMPLES], around, rng), delay) for _ in range(copies)
    ]
    return Heard(
        delay=delay,
        numbers=np.concatenate([f.rows for f in found])[:count],
        rows=SpeechRows(start=0, **joined),
        others=[HeadStream(head, how.head, how.delay).push(tokens)[:count] for tokens in voices[1:]],
        tokens=[tokens[: 2 * count] for tokens in voices],
    )


def _tokens_of(general: PersonSpeech, columns: np.ndarray, delay: str) -> np.ndarray:
    """Tokens of normalised columns, and of the silence after them that a head looks ahead."""
    how = general.config.hearing(delay)
    after = COLUMNS_PER_FRAME * how.delay.head_frames(how.head)
    padded = np.pad(columns.astype(np.float32), ((0, after), (0, 0)), constant_values=SILENCE)
    return general.encoder.column_tokens(padded[: len(padded) // COLUMNS_PER_FRAME * COLUMNS_PER_FRAME], how.delay)


def own_motion(clip: SpeakingClip, numbers: np.ndarray, train: np.ndarray, measures: np.ndarray) -> Own:
    """The person's mouth in time with the sound: how late the lips are is what agrees best with the general networks
    on frames of training."""
    count = min(len(clip), len(numbers))
    real, made = (rows[:count, :NUM_MOUTH] @ measures.T for rows in (clip.expression, numbers))
    use = (_fitted(train, count) & (clip.weight[:count] > 0)).astype(float)
    late = _late_s(made * use[:, None], real * use[:, None])
    rows = np.concatenate([clip.expression[:count, :NUM_MOUTH], clip.weight[:count, None]], axis=1)
    rows, known = retime(rows, 1.0, late)
    return Own(
        shape=rows[:, :NUM_MOUTH].astype(np.float32),
        seen=(rows[:, -1] > 0.99) & (known > 0),
        samples=clip.samples,
        late_s=late,
    )


def _late_s(made: np.ndarray, real: np.ndarray) -> float:
    times = np.arange(0, len(made) - 1, 0.25)
    fine = [[np.interp(times, np.arange(len(rows)), rows[:, k]) for k in (0, 2)] for rows in (made, real)]
    lags = sorted(range(-LATEST, LATEST + 1), key=abs)
    agreement = [
        sum(correlation_at(a, b, lag) for a, b in zip(*fine, strict=True)) - 0.05 * (lag / 10) ** 2 for lag in lags
    ]
    return lags[int(np.argmax(agreement))] / 100


def _fitted(mask: np.ndarray, count: int) -> np.ndarray:
    return np.pad(np.asarray(mask, bool)[:count], (0, max(0, count - len(mask))))


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineMap:
    """`tensors` "matrix" [D, 16] and "bias" [16], and "tuned.*" where a tuned head is part of the mixture `mix`;
    `target` movement; of frames that a fold had not seen: what was `left` [N, 16] unsaid, error and agreement."""

    tensors: dict[str, np.ndarray]
    mix: tuple[float, float, float]
    target: float
    left: np.ndarray
    error_mm: float
    sync: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What mixtures are made of, [N, 16] each: a map of what the general head says, a tuned head, the general head."""

    mapped: np.ndarray
    narrow: np.ndarray
    general: np.ndarray

    def mixed(self, mix: tuple[float, float, float]) -> np.ndarray:
        return mix[0] * self.mapped + mix[1] * self.narrow + mix[2] * self.general


class MapChooser:
    """Makes and chooses the map of one delay from frames in `train` bool [T]."""

    def __init__(
        self, folder: Path, general: PersonSpeech, heard: Heard, own: Own, train: np.ndarray, judge: Judge, seed: int
    ) -> None:
        self._folder, self._general, self._heard, self._own = folder, general, heard, own
        self._judge, self._seed, self._count = judge, seed, len(own.shape)
        self._inputs = [Taps().push(general_numbers(numbers)) for numbers in (heard.numbers, *heard.others)]
        self._index = np.flatnonzero(_fitted(train, min(len(train), len(heard.numbers))))
        self._plain = heard.numbers[:, :NUM_MOUTH]

    def choose(self, person: Mapping[str, np.ndarray]) -> AffineMap:
        """The best mixture of those that agree with the sound as well as the general networks do, by their error and
        the correlations of gap, width and jaw on left-out folds; the one that agrees best where none does.

        `person`: "rest" and "closed"; mixtures are judged as they would be drawn.
        """
        index, measures = self._index, self._general.measures
        real, middle = self._own.shape[index], self._own.shape[index].mean(0)
        sound = _sound_of(self._own.samples, index)
        before = drawn(self._general, {}, self._heard)[index]
        least, worst = self._judge.sync(before, sound) - SYNC_SLACK, self._judge.error_mm(before, real)
        parts, found = self._left_out(), []
        for mix in MIXES:
            mixed = parts.mixed(mix)
            for target in TARGETS:
                stretch = stretching(measures, _gain(mixed, real, measures, target))
                shown = self._shaped((mixed - middle) @ stretch + middle, person)
                error, sync = self._judge.error_mm(shown, real), self._judge.sync(shown, sound)
                agreement = np.mean(
                    [correlation(*pair) for pair in zip(*((shown @ measures.T).T, (real @ measures.T).T), strict=True)]
                )
                found.append((mix, target, stretch, shown, error, sync, error / worst - float(agreement)))
        agreeing = [entry for entry in found if entry[5] >= least]
        mix, target, stretch, shown, error, sync, _ = (
            min(agreeing, key=lambda entry: entry[6]) if agreeing else max(found, key=lambda entry: entry[5])
        )
        return AffineMap(
            tensors=self._finished(mix, stretch), mix=mix, target=target, left=real - shown, error_mm=error, sync=sync
        )

    def _left_out(self) -> _Parts:
        """The parts on frames of training, each fold's from all others."""
        index = self._index
        mapped, narrow, general = np.empty((3, len(index), NUM_MOUTH), np.float32)
        for number, fold in enumerate(np.array_split(np.arange(len(index)), FOLDS)):
            first, last = index[fold[0]], index[fold[-1]]
            kept = index[(index < first - APART) | (index > last + APART)]
            if len(kept) < 2 * NUM_MOUTH:
                kept = index
            matrix, bias = _ridge(self._inputs, self._own.shape, kept)
            mapped[fold] = self._inputs[0][index[fold]] @ matrix + bias
            general[fold] = self._plain[index[fold]] - self._plain[kept].mean(0) + self._own.shape[kept].mean(0)
            narrow[fold] = self._narrow(self._tuned(kept, f"fold{number}"))[index[fold]]
        return _Parts(mapped=mapped, narrow=narrow, general=general)

    def _tuned(self, kept: np.ndarray, name: str) -> dict[str, np.ndarray]:
        used = np.zeros(self._count, bool)
        used[kept] = True
        delay = self._heard.delay
        recipe = TuneRecipe(
            self._general.heads[delay], self._general.config.hearing(delay), load_mesh478(), self._heard.tokens,
            self._own.shape, used, self._own.shape[kept].mean(0) - self._plain[kept].mean(0),
        )  # fmt: skip
        return tune_head(recipe, self._folder / f"tune-{delay}-{name}", self._general.config.tune_steps, self._seed)

    def _narrow(self, additions: Mapping[str, np.ndarray]) -> np.ndarray:
        """The mouth [T, 16] that a tuned head says."""
        how = self._general.config.hearing(self._heard.delay)
        head = tuned(self._general.heads[self._heard.delay], additions)
        rows = HeadStream(head, how.head, how.delay).push(self._heard.tokens[0].astype(np.float32))[:, :NUM_MOUTH]
        return np.pad(rows, ((0, max(0, self._count - len(rows))), (0, 0)), mode="edge")[: self._count]

    def _shaped(self, mouth: np.ndarray, person: Mapping[str, np.ndarray]) -> np.ndarray:
        """Mouths [N, 16] of the frames of training as they would be drawn."""
        whole = np.tile(person["rest"], (len(self._heard.numbers), 1))
        whole[self._index] = mouth
        shaper = MouthShaper(self._general.measures, np.ones(3), person["rest"], float(person["closed"][0]))
        return shaper.push(replace(self._heard.rows, mouth=whole.astype(np.float32)))[self._index]

    def _finished(self, mix: tuple[float, float, float], stretch: np.ndarray) -> dict[str, np.ndarray]:
        """The tensors of a mixture, made from all frames of training."""
        index, wanted = self._index, self._own.shape[self._index].mean(0)
        matrix, bias = _ridge(self._inputs, self._own.shape, index)
        as_is = np.zeros_like(matrix)
        as_is[-(len(matrix) // TAPS) :][:NUM_MOUTH] = np.eye(NUM_MOUTH)
        matrix = mix[0] * matrix + mix[2] * as_is
        bias = mix[0] * bias + mix[2] * (wanted - self._plain[index].mean(0))
        tensors: dict[str, np.ndarray] = {}
        if mix[1]:
            matrix = np.concatenate([matrix, mix[1] * np.eye(NUM_MOUTH)])
            additions = self._tuned(index, "all")
            tensors = {f"tuned.{name}": value.astype(np.float16) for name, value in additions.items()}
        tensors["matrix"] = (matrix @ stretch).astype(np.float16)
        tensors["bias"] = ((bias - wanted) @ stretch + wanted).astype(np.float32)
        return tensors


def _ridge(inputs: Sequence[np.ndarray], wanted: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix [D, 16] and bias [16] from all voices' rows at `index`; the person's own count as much as all others."""
    own, weight = inputs[0][index], 1 / max(1, len(inputs) - 1)
    middle, deviation = own.mean(0), own.std(0) + 1e-3
    target = wanted[index].mean(0)
    gram, cross = np.zeros((own.shape[1], own.shape[1])), np.zeros((own.shape[1], wanted.shape[1]))
    total = 0.0
    for number, rows in enumerate(inputs):
        scaled = ((rows[index] - middle) / deviation).astype(np.float64)
        share = 1.0 if number == 0 else weight
        gram += share * scaled.T @ scaled
        cross += share * scaled.T @ (wanted[index] - target)
        total += share * len(index)
    solved = np.linalg.solve(gram + RIDGE * total * np.eye(len(gram)), cross) / deviation[:, None]
    return solved, target - middle @ solved


def _gain(made: np.ndarray, real: np.ndarray, measures: np.ndarray, target: float) -> np.ndarray:
    moved, wanted = ((rows @ measures.T).std(0) for rows in (made, real))
    return np.clip(target * wanted / np.maximum(moved, 1e-6), *GAINS)


def _sound_of(samples: np.ndarray, index: np.ndarray) -> np.ndarray:
    """The sound of frames `index`, one after the other."""
    padded = np.pad(samples, (0, max(0, SAMPLES * (int(index.max(initial=0)) + 1) - len(samples))))
    return padded[: len(padded) // SAMPLES * SAMPLES].reshape(-1, SAMPLES)[index].ravel()


def person_tensors(own: Own, rows: SpeechRows, train: np.ndarray, measures: np.ndarray) -> dict[str, np.ndarray]:
    """`closed` [1], the gap of the person's lips that meet, and `rest` [16], the mouth when nothing is said: the mean
    of quiet frames with lips together, or of the frames whose lips are closest. `own.mean` and `own.deviation` [3] of
    gap, width and jaw while the person speaks."""
    index = np.flatnonzero(train)
    index = index[index < len(rows.voice)]
    shape = own.shape[index]
    gap = shape @ measures[0]
    closed = float(np.clip(np.percentile(gap, 4), -0.005, 0.01))
    shut = gap <= max(closed + 0.01, float(np.percentile(gap, 12)))
    quiet = shut & (rows.coming[index] < 0.3)
    rest = shape[quiet if quiet.sum() >= FPS / 2 else shut].mean(0)
    rest = rest + (closed - rest @ measures[0]) * parting(measures)
    speaking = shape[rows.voice[index] > 0.5] if (rows.voice[index] > 0.5).sum() > FPS else shape
    moved = speaking @ measures.T
    return {
        "closed": np.array([closed], np.float32),
        "rest": rest.astype(np.float32),
        "own.mean": moved.mean(0).astype(np.float32),
        "own.deviation": np.maximum(moved.std(0), 1e-3).astype(np.float32),
    }


def choose_refinement(
    general: PersonSpeech,
    heard: Heard,
    own: Own,
    train: np.ndarray,
    tensors: Mapping[str, np.ndarray],
    judge: Judge,
    seed: int,
) -> tuple[str, dict[str, np.ndarray]]:
    """What is put on top of the affine map, "affine" being nothing: the projection onto what the person did, or a state
    of the adversarial training whose judge is even, if it is better on the last part of the frames of training, which
    it has not seen, and agrees with the sound no less."""
    index = np.flatnonzero(_fitted(train, min(len(train), len(heard.numbers))))
    shown, unseen = index[: -len(index) // 5], index[-len(index) // 5 :]
    shown = shown[shown < unseen[0] - APART]
    if len(shown) < 4 * FPS:
        return "affine", {}
    unit = np.maximum(own.shape[shown].std(0), 0.02).astype(np.float32)
    real, sound = own.shape[unseen], _sound_of(own.samples, unseen)

    def figures(extra: Mapping[str, np.ndarray]) -> tuple[float, float]:
        made = drawn(general, {**tensors, **extra}, heard)[unseen]
        return judge.error_mm(made, real), judge.sync(made, sound)

    candidates: list[tuple[str, dict[str, np.ndarray]]] = [("lle", _projection(own.shape[shown], unit))]
    used = np.zeros(len(own.shape), bool)
    used[shown] = True
    plain = [adapted(general, tensors, heard, voice)[: len(own.shape)] / unit for voice in range(len(heard.tokens))]
    count = min(len(rows) for rows in plain)
    beside = plain[0][unseen], own.shape[unseen] / unit
    recipe = AdapterRecipe([rows[:count] for rows in plain], own.shape[:count] / unit, used[:count], beside)
    for stop in stops(recipe, seed):
        if stop.even:
            named = {f"post.{name}": value for name, value in stop.tensors.items()}
            candidates.append(("postnet", named | {"post.scale": unit}))
    return best_of(figures, candidates)


def best_of(
    figures: Callable[[Mapping[str, np.ndarray]], tuple[float, float]],
    candidates: Sequence[tuple[str, dict[str, np.ndarray]]],
) -> tuple[str, dict[str, np.ndarray]]:
    """The candidate whose error, the first of its `figures`, is clearly least and whose agreement, the second, is not
    below that of the affine map; the affine map if there is none."""
    error, least = figures({})
    chosen: tuple[str, dict[str, np.ndarray]] = ("affine", {})
    for kind, extra in candidates:
        found, sync = figures(extra)
        if found < CLEARLY * error and sync >= least - SYNC_SLACK:
            chosen, error = (kind, extra), found / CLEARLY
    return chosen


def _projection(shape: np.ndarray, unit: np.ndarray) -> dict[str, np.ndarray]:
    """`KNOWN` mouths of the person, evenly from least to most open."""
    order = np.argsort(shape @ np.ones(NUM_MOUTH), kind="stable")
    picked = np.unique(np.linspace(0, len(shape) - 1, min(KNOWN, len(shape))).astype(int))
    known = shape[order[picked]].astype(np.float16)
    return {"lle.known": known, "lle.share": np.array([LLE_SHARE], np.float32), "lle.unit": unit}


def mood_tensors(left: np.ndarray, measures: np.ndarray) -> dict[str, np.ndarray]:
    """The kernel of slow movements that the seed decides: what the map leaves unsaid, without gap, width and jaw, for
    which there is sound."""
    hidden = np.eye(NUM_MOUTH) - np.linalg.pinv(measures) @ measures
    slow = gaussian_filter1d(left @ hidden.T, MOOD_FRAMES / 2, axis=0)
    values, vectors = np.linalg.eigh(np.cov(slow.T) + 1e-9 * np.eye(NUM_MOUTH))
    root = vectors * np.sqrt(np.maximum(values, 0))
    reach = np.arange(-2 * MOOD_FRAMES, 2 * MOOD_FRAMES + 1)
    bump = np.exp(-0.5 * (reach / MOOD_FRAMES) ** 2)
    bump *= MOOD / np.sqrt((bump**2).sum())
    return {"mood.kernel": (bump[:, None, None] * root).astype(np.float16)}


def manner_tensors(
    general: PersonSpeech, clip: SpeakingClip, rows: SpeechRows, train: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """`head_motion.kernel` and `.limit`: head and brows move with the spectra of the longest part of the clip that is
    trained on, as far as the person does, or less where that would be too fast: the process's clock runs faster while
    there is voice. Empty for clips that show too little."""
    first, end = _longest(_fitted(train, len(clip)) & (clip.weight > 0))
    if end - first < SHORTEST_CLIP:
        return {}
    seen = replace(
        clip, pose=clip.pose[first:end], expression=clip.expression[first:end], weight=clip.weight[first:end]
    )
    channels = smoothed_channels(seen, NUM_MOUTH)
    own = np.concatenate([seen.pose, seen.expression[:, NUM_MOUTH:]], axis=1)
    own = gaussian_filter1d(own.astype(np.float64), SMOOTHING_FRAMES, axis=0)
    far, fast = own.std(0) + 1e-6, np.abs(np.diff(own, axis=0)).mean(0) + 1e-6
    found = dict(general.head_motion)
    found["kernel"] = noise_kernel([channels])
    found["limit"] = np.maximum(found["limit"], LIMIT * far)

    def made() -> tuple[np.ndarray, np.ndarray]:
        moved = [_head_rows(found, rows, seed + k) for k in range(VOICES)]
        return np.mean([m.std(0) for m in moved], 0), np.mean([np.abs(np.diff(m, axis=0)).mean(0) for m in moved], 0)

    for last in (False, True):
        deviation, speed = made()
        scale = far / np.maximum(deviation, 1e-6)
        if last:
            scale = scale * np.clip((speed * scale / fast) ** -0.5, 0.75, 1.0)
        found["kernel"] = found["kernel"] * scale[:, None]
    return {
        "head_motion.kernel": found["kernel"].astype(np.float16),
        "head_motion.limit": found["limit"].astype(np.float32),
    }


def _head_rows(tensors: Mapping[str, np.ndarray], rows: SpeechRows, seed: int) -> np.ndarray:
    moved = HeadMotion(tensors, seed).push(rows.voice, rows.loudness - rows.level, None, rows.coming)
    return np.concatenate([moved.pose, moved.brow], axis=1).astype(np.float64)


def _longest(seen: np.ndarray) -> tuple[int, int]:
    """First and end of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.pad(seen.astype(np.int8), 1)))
    runs = edges.reshape(-1, 2)
    return tuple(runs[np.argmax(runs[:, 1] - runs[:, 0])].tolist()) if len(runs) else (0, 0)


def held_out_figures(
    general: PersonSpeech,
    tensors: Mapping[str, np.ndarray],
    heard: Mapping[str, Heard],
    own: Own,
    test: np.ndarray,
    judge: Judge,
) -> dict[str, float]:
    """Of frames that trained nothing, for each delay: errors and agreement before and after, and movement."""
    figures: dict[str, float] = {}
    for delay in DELAYS:
        index = np.flatnonzero(_fitted(test, min(len(test), len(heard[delay].numbers))))
        if len(index) < FPS:
            return {}
        real, sound = own.shape[index], _sound_of(own.samples, index)
        for name, adapter in (("general", {}), ("adapted", dict(tensors))):
            made = drawn(general, adapter, heard[delay])[index]
            found = {
                "error_mm": judge.error_mm(made, real),
                "squared_cm2": judge.squared(made, real),
                "sync": judge.sync(made, sound),
            }
            a, b = (rows @ general.measures.T for rows in (made, real))
            for k, measure in enumerate(("gap", "width", "jaw")):
                found[measure] = correlation(a[:, k], b[:, k])
                found[f"{measure}_moved"] = float(a[:, k].std() / max(1e-6, b[:, k].std()))
            figures |= {f"{delay}.{name}.{key}": round(value, 4) for key, value in found.items()}
    return figures


def drawn(general: PersonSpeech, adapter: Mapping[str, np.ndarray], heard: Heard, seed: int = 0) -> np.ndarray:
    """Mouth coefficients [T, 16] as `PersonSpeech` gives them, from what was heard already."""
    mouth = PersonMouth(_single(adapter), general.measures, general.gains[heard.delay], heard.delay, seed)
    return mouth.push(_numbers(general, adapter, heard, 0), heard.rows)


def adapted(general: PersonSpeech, adapter: Mapping[str, np.ndarray], heard: Heard, voice: int) -> np.ndarray:
    """The same [T, 16] before rest and closures, of one of the voices."""
    mouth = PersonMouth(_single(adapter), general.measures, general.gains[heard.delay], heard.delay, 0)
    return mouth.adapted(_numbers(general, adapter, heard, voice))


def _single(adapter: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value.astype(np.float32) for name, value in adapter.items()}


def _numbers(general: PersonSpeech, adapter: Mapping[str, np.ndarray], heard: Heard, voice: int) -> np.ndarray:
    """What the general head says of a voice, and beside it what the tuned one does."""
    how, additions = general.config.hearing(heard.delay), part(_single(adapter), f"{heard.delay}.tuned")
    numbers = heard.others[voice - 1] if voice else heard.numbers
    if not additions:
        return numbers
    head = tuned(general.heads[heard.delay], additions)
    narrow = HeadStream(head, how.head, how.delay).push(heard.tokens[voice].astype(np.float32))
    narrow = np.pad(narrow, ((0, max(0, len(numbers) - len(narrow))), (0, 0)), mode="edge")
    return np.concatenate([numbers, narrow[: len(numbers)]], axis=1)
