"""The adapter to one person, chosen without a human: an affine map of what the general networks hear, and, where they
are better on frames that they have not seen, a projection onto what the person did or the adversarial post-net.

The general networks say what a voice means; the adapter says how this person's mouth does it. A map that only makes the
error small moves too little, and lips that move little are out of step for the eye: maps are stretched to the person's
own range, mixed with the general movement, and the mixture is chosen by error and by agreement with the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkingface.audio.speech_encoder import COLUMNS_PER_FRAME, SILENCE
from talkingface.core.lags import correlation, correlation_at
from talkingface.face.head_motion import HeadMotion
from talkingface.face.morphable import LinearFaceModel, load_mesh478
from talkingface.face.mouth_shape import parting, stretching
from talkingface.face.mouth_view import VIEW_HW, MouthView, mouth_shape
from talkingface.face.spoken_mouth import FPS, NUM_MOUTH, SpeechRows, read_rows
from talkingface.metrics.sync_expert import SyncExpert
from talkingface.nn.speech_stream import HeadStream
from talkingface.systems.geneface.landmarks3d import landmark_displacements
from talkingface.systems.geneface.motion.config import DELAYS
from talkingface.systems.geneface.motion.person import PersonMouth, Taps, general_numbers
from talkingface.systems.geneface.motion.speech import PersonSpeech
from talkingface.training.hear_differently import Surroundings
from talkingface.training.mouth_targets import retime
from talkingface.training.recipe import make_rng
from talkingface.training.speaking_clips import SpeakingClip
from talkingface.training.speech_recipe import heard_columns

if TYPE_CHECKING:
    from talkingface.person.clip import PersonClip

FOLDS = 5
APART = 12
"""Frames beside a fold that train nothing: they look like those in it."""
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""How much of the map there may be in the mixture; the rest is the general movement about the person's mean."""
TARGETS = (0.85, 1.0)
"""How far gap, width and jaw move beside the person's own."""
RIDGE = 1.0
COPIES = 3
"""Times that the person's words are heard in other voices, so that the map holds for other voices."""
GAINS = (0.5, 2.5)
SYNC_SLACK = 0.005
"""By how much confidence may be lower and count as not lower."""
LATEST = 24
"""Steps of 10 ms by which lips may be late or early."""
MOOD, MOOD_FRAMES = 0.35, 20
"""Of what the map leaves unsaid, as a share of its deviation, what the seed moves, and how slowly."""
KNOWN, LLE_SHARE = 256, 0.5


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
    the same words in other voices."""

    numbers: np.ndarray
    rows: SpeechRows
    others: Sequence[np.ndarray]


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
        maps[delay] = choose_map(heard[delay], own, train, general.measures, judge)
        tensors |= {f"{delay}.{name}": value for name, value in maps[delay].tensors.items()}
    tensors |= mood_tensors(maps["best"].left, general.measures)
    figures = {"late_s": own.late_s, "share": maps["best"].share, "moved": maps["best"].target}
    tensors |= size_tensors(general, clip, heard["best"].rows, train, seed)
    kind = "affine"
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
    others = [
        _numbers_of(general, heard_columns(samples[: count * 640], around, rng), delay)[:count] for _ in range(copies)
    ]
    return Heard(
        numbers=np.concatenate([f.rows for f in found])[:count], rows=SpeechRows(start=0, **joined), others=others
    )


def _numbers_of(general: PersonSpeech, columns: np.ndarray, delay: str) -> np.ndarray:
    """A head's numbers for normalised columns, which silence follows."""
    how = general.config.hearing(delay)
    after = COLUMNS_PER_FRAME * how.delay.head_frames(how.head)
    padded = np.pad(columns.astype(np.float32), ((0, after), (0, 0)), constant_values=SILENCE)
    padded = padded[: len(padded) // COLUMNS_PER_FRAME * COLUMNS_PER_FRAME]
    return HeadStream(general.heads[delay], how.head, how.delay).push(general.encoder.column_tokens(padded, how.delay))


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
    """`tensors` "matrix" [TAPS D, 16] and "bias" [16]; `share` of the map in the mixture, `target` movement, and what
    was `left` [N, 16] unsaid of frames that a fold had not seen."""

    tensors: dict[str, np.ndarray]
    share: float
    target: float
    left: np.ndarray
    error_mm: float
    sync: float


def choose_map(heard: Heard, own: Own, train: np.ndarray, measures: np.ndarray, judge: Judge) -> AffineMap:
    """The mixture with the least error on left-out folds among those that agree with the sound as well as the general
    networks do; the one that agrees best where none does."""
    inputs = [Taps().push(general_numbers(numbers)) for numbers in (heard.numbers, *heard.others)]
    index = np.flatnonzero(train)
    index = index[index < len(inputs[0])]
    plain = inputs[0][:, -(len(inputs[0][0]) // 3) :][:, :NUM_MOUTH]
    middle = own.shape[index].mean(0)
    mapped, general = np.empty((2, len(index), NUM_MOUTH), np.float32)
    for fold in np.array_split(np.arange(len(index)), FOLDS):
        near = np.abs(index - index[fold[0]]).clip(0), np.abs(index - index[fold[-1]])
        kept = index[((index < index[fold[0]]) | (index > index[fold[-1]])) & (near[0] > APART) & (near[1] > APART)]
        if len(kept) < 2 * NUM_MOUTH:
            kept = index
        matrix, bias = _ridge(inputs, own.shape, kept)
        mapped[fold] = inputs[0][index[fold]] @ matrix + bias
        general[fold] = plain[index[fold]] - plain[kept].mean(0) + own.shape[kept].mean(0)
    real, whole = own.shape[index], _sound_of(own.samples, index)
    least = judge.sync(plain[index], whole) - SYNC_SLACK
    found = []
    for share in SHARES:
        mixed = share * mapped + (1 - share) * general
        for target in TARGETS:
            stretch = stretching(measures, _gain(mixed, real, measures, target))
            shown = (mixed - middle) @ stretch + middle
            found.append((share, target, stretch, shown, judge.error_mm(shown, real), judge.sync(shown, whole)))
    agreeing = [entry for entry in found if entry[5] >= least]
    share, target, stretch, shown, error, sync = (
        min(agreeing, key=lambda entry: entry[4]) if agreeing else max(found, key=lambda entry: entry[5])
    )
    matrix, bias = _ridge(inputs, own.shape, index)
    as_is = np.zeros_like(matrix)
    as_is[-(len(matrix) // 3) :][:NUM_MOUTH] = np.eye(NUM_MOUTH)
    matrix, bias = (
        share * matrix + (1 - share) * as_is,
        share * bias + (1 - share) * (own.shape[index].mean(0) - plain[index].mean(0)),
    )
    return AffineMap(
        tensors={
            "matrix": (matrix @ stretch).astype(np.float32),
            "bias": ((bias - middle) @ stretch + middle).astype(np.float32),
        },
        share=share,
        target=target,
        left=real - shown,
        error_mm=error,
        sync=sync,
    )


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
    padded = np.pad(samples, (0, max(0, 640 * (int(index.max(initial=0)) + 1) - len(samples))))
    return padded[: len(padded) // 640 * 640].reshape(-1, 640)[index].ravel()


def person_tensors(own: Own, rows: SpeechRows, train: np.ndarray, measures: np.ndarray) -> dict[str, np.ndarray]:
    """`closed` [1], the gap of the person's lips that meet, and `rest` [16], the mouth when nothing is said: the mean
    of quiet frames with lips together, or of the frames whose lips are closest."""
    index = np.flatnonzero(train)
    index = index[index < len(rows.voice)]
    shape = own.shape[index]
    gap = shape @ measures[0]
    closed = float(np.clip(np.percentile(gap, 4), -0.005, 0.01))
    shut = gap <= max(closed + 0.01, float(np.percentile(gap, 12)))
    quiet = shut & (rows.coming[index] < 0.3)
    rest = shape[quiet if quiet.sum() >= FPS / 2 else shut].mean(0)
    rest = rest + (closed - rest @ measures[0]) * parting(measures)
    return {"closed": np.array([closed], np.float32), "rest": rest.astype(np.float32)}


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
    return {"mood.kernel": (bump[:, None, None] * root).astype(np.float32)}


def size_tensors(
    general: PersonSpeech, clip: SpeakingClip, rows: SpeechRows, train: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """`head.scale` [6] and `brow.scale` [4]: the person's deviations over those of the shared head motion for the same
    voice."""
    head = HeadMotion(general.head_motion, seed)
    made = head.push(rows.voice, rows.loudness - rows.level, None, rows.coming)
    index = np.flatnonzero(_fitted(train, len(made.pose)) & (clip.weight[: len(made.pose)] > 0))
    if len(index) < 2 * FPS:
        return {}
    brows = clip.expression[:, NUM_MOUTH:]
    scale = clip.pose[index].std(0) / np.maximum(made.pose[index].std(0), 1e-4)
    return {
        "head.scale": np.clip(scale, 0.2, 3.0).astype(np.float32),
        "brow.scale": np.clip(brows[index].std(0) / np.maximum(made.brow[index].std(0), 1e-3), 0.1, 2.5).astype(
            np.float32
        ),
    }


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
            made = drawn(general, adapter, heard[delay], delay)[index]
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


def drawn(
    general: PersonSpeech, adapter: Mapping[str, np.ndarray], heard: Heard, delay: str, seed: int = 0
) -> np.ndarray:
    """Mouth coefficients [T, 16] as `PersonSpeech` gives them, from what was heard already."""
    mouth = PersonMouth(adapter, general.measures, general.gains[delay], delay, seed)
    return mouth.push(heard.numbers, heard.rows)
