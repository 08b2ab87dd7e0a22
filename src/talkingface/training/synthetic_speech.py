"""Synthetic speech with known phones and times, for the training of the mouth network."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import BadZipFile

import numpy as np

from talkingface.audio.phones import align_phones
from talkingface.core.errors import DependencyError, InputError
from talkingface.nn.phones import PHONES

VOICES = ("slt", "rms", "awb", "kal16")
COMMON_WORDS = tuple(
    (
        "the a of to and in is it you that he was for on are with as I his they be at one have this from or had by "
        "hot but some what there we can out other were all your when up use word how said an each she which do their "
        "time if will way about many then them would write like so these her long make thing see him two has look "
        "more day could go come did my sound no most number who over know water than call first people may down side "
        "been now find any new work part take get place made live where after back little only round man year came "
        "show every good me give our under name very through just form much great think say help low line before turn "
        "cause same mean differ move right boy old too does tell sentence set three want air well also play small end "
        "put home read hand port large spell add even land here must big high such follow act why ask men change went "
        "light kind off need house picture try us again animal point mother world near build self earth father bump "
        "map web palm above problem member remember public Bob baby maybe bubble pump problem simple camp lamp jump "
        "apple paper happy purple number timber humble ribbon cabin mob moon beam boom poem prime brim blame "
    ).split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenText:
    """Speech: samples float32 [N] at 16 kHz and (phone, end in seconds) in order."""

    samples: np.ndarray
    phones: tuple[tuple[str, float], ...]


def speak(sentences_per_voice: int, seed: int) -> Iterator[SpokenText]:
    """Random sentences in every voice. Raises DependencyError where flite is not installed."""
    if shutil.which("flite") is None:
        raise DependencyError("this training needs synthetic speech; install flite: apt-get install flite")
    rng = random.Random(seed)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        for voice in VOICES:
            for _ in range(sentences_per_voice):
                yield _speak_one(voice, make_sentence(rng), rng.uniform(0.8, 1.15), path)


def make_sentence(rng: random.Random) -> str:
    """Six to sixteen random words with a few commas."""
    words = [rng.choice(COMMON_WORDS) + ("," if rng.random() < 0.12 else "") for _ in range(rng.randint(6, 16))]
    return " ".join(words) + "."


def _speak_one(voice: str, text: str, stretch: float, path: Path) -> SpokenText:
    from talkingface.audio.read import read_audio

    command = ["flite", "-voice", voice, "--setf", f"duration_stretch={stretch:.2f}", "-psdur"]
    command += ["-t", text, "-o", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pairs = [item.rsplit(":", 1) for item in done.stdout.split()]
    phones = tuple(("ah" if name == "ax" else name, float(end)) for name, end in pairs)
    return SpokenText(samples=read_audio(path).samples[0], phones=phones)


def align(samples: np.ndarray, words: str) -> SpokenText | None:
    """Real English speech with the phones of its `words`; None where a recogniser finds no path through them.

    Raises DependencyError where pocketsphinx is not installed.
    """
    spans = align_phones(samples, words)
    names = (span.phone.lower() if span.phone.isalpha() else "sil" for span in spans)
    phones = tuple(("pau" if name == "sil" else name, span.end_s) for name, span in zip(names, spans, strict=True))
    return SpokenText(samples=samples, phones=phones) if phones else None


def read_voices(folder: Path) -> Iterator[SpokenText]:
    """Speech of known phones from the .npz files in a folder and its folders, by name; nothing where there is none.

    A file holds `samples` int16 [N] at 16 kHz, `phones` (names of PHONES, in order) and `ends` (seconds), as
    `scripts/make_voices.py` writes them. Raises InputError, which names the file, for any other.
    """
    for path in sorted(folder.rglob("[!.]*.npz")):
        try:
            with path.open("rb") as stored, np.load(stored, allow_pickle=False) as file:
                samples, names, ends = file["samples"], file["phones"].tolist(), file["ends"].tolist()
            known = samples.ndim == 1 and samples.dtype == np.int16 and set(names) <= set(PHONES)
            phones = tuple(zip(names, ends, strict=True))
        except (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile) as error:
            raise InputError(f"{path} holds no speech with phones: {error}") from error
        if not known:
            raise InputError(f"{path} holds no speech with phones: it needs int16 samples and names of PHONES")
        yield SpokenText(samples=samples.astype(np.float32) / 32768, phones=phones)


def phone_rows(phones: tuple[tuple[str, float], ...], num_frames: int, fps: float) -> np.ndarray:
    """Share of each frame's time (centred on it) that each phone takes: float32 [num_frames, len(PHONES)]."""
    rows = np.zeros((num_frames, len(PHONES)), np.float32)
    start = 0.0
    frames = np.arange(num_frames)
    for name, end_s in phones:
        end = end_s * fps
        first, last = max(int(start) - 1, 0), min(int(end) + 3, num_frames)
        near = frames[first:last]
        rows[near, PHONES.index(name)] += np.clip(np.minimum(end, near + 0.5) - np.maximum(start, near - 0.5), 0, 1)
        start = end
    return rows
