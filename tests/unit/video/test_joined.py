"""Files joined by `cat`: nothing is dropped, and time goes on after the end of each part."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from media_files import join, numbers, tone, write_clip
from talkingface.audio.read import read_audio
from talkingface.video.read import probe, read_frames
from talkingface.video.sound import Sound

CLIPS = {
    "j.ts": {"sound": "aac"},
    "j.m2ts": {"sound": "aac", "format": "mpegts", "container_options": {"mpegts_m2ts_mode": "1"}},
    "j.mpg": {"codec": "mpeg2video", "options": {"bf": "2"}, "sound": "mp2"},
    "j.mkv": {"sound": "aac"},
    "j.webm": {"codec": "libvpx", "sound": "libopus", "container_options": {"live": "1"}},
    "j.flv": {"sound": "aac"},
    "j.avi": {"codec": "mjpeg", "sound": "libmp3lame"},
}


def write_tone(path: Path, codec: str, rate_hz: int, seconds: float, pitch_hz: float, layout: str = "mono") -> Path:
    """A tone in a file of its own."""
    with av.open(str(path), "w", format="adts" if path.suffix == ".aac" else None) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout=layout)
        for begin in range(0, int(seconds * rate_hz), rate_hz // 10):
            end = min(begin + rate_hz // 10, int(seconds * rate_hz))
            one = tone(begin, end, rate_hz, pitch_hz)
            if layout == "stereo":
                wave = np.repeat(one.to_ndarray(), 2, axis=0)
                both = av.AudioFrame.from_ndarray(wave, format="fltp", layout="stereo")
                both.sample_rate, both.pts, both.time_base = one.sample_rate, one.pts, one.time_base
                one = both
            file.mux(stream.encode(one))
        file.mux(stream.encode(None))
    return path


def pitches(samples: np.ndarray, rate_hz: int = 16000) -> list[int]:
    """The pitch of each tenth of a second, by zero crossings; 0 where it is silent."""
    pieces = samples[: len(samples) // (rate_hz // 10) * (rate_hz // 10)].reshape(-1, rate_hz // 10)
    crossings = (np.diff(np.signbit(pieces), axis=1) != 0).sum(1)
    return [int(5 * count) if np.abs(piece).max() > 0.05 else 0 for piece, count in zip(pieces, crossings, strict=True)]


@pytest.mark.parametrize("name", CLIPS)
def test_pictures_and_sound_of_all_parts_follow_each_other(tmp_path: Path, name: str) -> None:
    one = write_clip(tmp_path / f"one{name}", 40, **CLIPS[name], pitch_hz=440)
    two = write_clip(tmp_path / f"two{name}", 30, **CLIPS[name], pitch_hz=880)
    joined = join(tmp_path / name, one, two, one)
    info = probe(joined)
    assert info.fps == 25 and abs(info.num_frames - 110) <= 4 and info.duration_s == pytest.approx(4.4, abs=0.2)
    frames = list(read_frames(joined))
    assert numbers(frames) == [*range(40), *range(30), *range(40)]
    times = np.array([frame.time_s for frame in frames])
    assert (np.diff(times) > 0).all() and times[-1] == pytest.approx(4.36, abs=0.2)
    at_rate = numbers(read_frames(joined, fps=25))
    assert len(at_rate) == pytest.approx(110, abs=5) and set(at_rate[:41]) == set(range(40))
    later = list(read_frames(joined, start_s=2.0))
    assert [frame.time_s for frame in later] == times[times >= 2.0 - 1e-6].tolist()

    heard = pitches(read_audio(joined).samples[0])
    assert len(heard) == pytest.approx(44, abs=2)
    high = [at for at, pitch in enumerate(heard) if at and pitch == pytest.approx(880, abs=60)]
    assert len(high) >= 10 and all(15 <= at <= 29 for at in high), "the sound of the second part lies in its middle"
    begins_s = next(at for at, number in zip(times[40:], numbers(frames[40:]), strict=True) if number == 0)
    assert abs(high[0] / 10 - begins_s) < 0.2, "and beside its pictures"


@pytest.mark.parametrize(
    "parts",
    [
        [("a.ogg", "libopus", 48000, "mono"), ("b.ogg", "libopus", 48000, "mono")],
        [("a.ogg", "libopus", 48000, "mono"), ("b.ogg", "libopus", 48000, "stereo")],
        [("a.ogg", "flac", 44100, "stereo"), ("b.ogg", "flac", 22050, "mono")],
        [("a.ogg", "libopus", 48000, "mono"), ("b.ogg", "flac", 22050, "mono")],
        [("a.mp3", "libmp3lame", 44100, "stereo"), ("b.mp3", "libmp3lame", 22050, "mono")],
        [("a.aac", "aac", 44100, "stereo"), ("b.aac", "aac", 22050, "mono")],
        [("a.wav", "pcm_s16le", 44100, "stereo"), ("b.wav", "pcm_s16le", 22050, "mono")],
        [("a.flac", "flac", 44100, "mono"), ("b.flac", "flac", 44100, "mono")],
        [("a.ts", "aac", 44100, "stereo"), ("b.ts", "mp2", 48000, "mono")],
    ],
    ids=lambda parts: " ".join(f"{name[1:]} {codec} {hz} {layout}" for name, codec, hz, layout in parts),
)
def test_sound_of_other_rates_channels_and_codecs(tmp_path: Path, parts) -> None:
    files = [
        write_tone(tmp_path / name, codec, rate_hz, seconds, pitch_hz, layout)
        for (name, codec, rate_hz, layout), seconds, pitch_hz in zip(parts, (1.5, 1.3), (440, 880), strict=True)
    ]
    joined = join(tmp_path / f"joined{files[0].suffix}", *files)
    samples = read_audio(joined).samples[0]
    assert len(samples) / 16000 == pytest.approx(2.8, abs=0.1)
    heard = np.array(pitches(samples))
    assert np.allclose(heard[1:14], 440, atol=40) and np.allclose(heard[17:27], 880, atol=60)
    if files[0].suffix != ".aac":  # its length is counted at the rate of its beginning
        assert probe(joined).duration_s == pytest.approx(2.8, abs=0.15)
    written = sum(frame.samples for frame in Sound(joined).until(10**7))
    assert written / 48000 == pytest.approx(len(samples) / 16000, abs=0.01)


def test_one_chain_of_ogg_is_as_long_as_its_sound(tmp_path: Path) -> None:
    joined = join(tmp_path / "c.ogg", *[write_tone(tmp_path / "o.ogg", "libopus", 48000, 1.2, 440)] * 3)
    assert probe(joined).duration_s == pytest.approx(3.6, abs=1e-3)
    assert read_audio(joined).duration_s == pytest.approx(3.6, abs=1e-3)


def test_another_recording_an_hour_later_follows_at_once(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.ts", 30, sound="aac")
    late = write_clip(tmp_path / "late.ts", 30, sound="aac", container_options={"output_ts_offset": "3600"})
    joined = join(tmp_path / "j.ts", one, late)
    assert probe(joined).duration_s == pytest.approx(2.4, abs=0.2)
    assert numbers(read_frames(joined)) == [*range(30), *range(30)]
    assert read_audio(joined).duration_s == pytest.approx(2.4, abs=0.2)


def test_what_is_no_media_behind_a_clip_is_left_out(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", 20, sound="aac")
    path.write_bytes(path.read_bytes() + b"\x00" * 5000)
    assert numbers(read_frames(path)) == list(range(20))
