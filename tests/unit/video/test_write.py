from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from clips import sway, write_face_video
from talkingface.audio.read import read_audio
from talkingface.core.errors import InputError, OutputError, SpeechError
from talkingface.core.types import Audio
from talkingface.video.read import probe, read_frames
from talkingface.video.write import Synthetic, VideoWriter

SIZE = (64, 48)
MADE = Synthetic(tool_version="1.2", system="portrait", weights="portrait.clean")


def smooth(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of gentle colours, which compression hardly changes."""
    few = np.random.default_rng(seed).integers(80, 170, (3, 3, 3), dtype=np.uint8)
    return cv2.resize(few, size, interpolation=cv2.INTER_CUBIC)


def test_equal_pictures_give_equal_files(tmp_path: Path) -> None:
    """At 192 pixels libx264's AVX-512 code reads memory that nobody has set."""
    files = [write_face_video(tmp_path / f"{k}.mp4", sway(60), size=(192, 192)).read_bytes() for k in range(5)]
    assert len(set(files)) == 1


def clicks(rate_hz: int, length_s: float, at_s: tuple[float, ...]) -> Audio:
    samples = np.zeros((1, round(length_s * rate_hz)), np.float32)
    for click_s in at_s:
        samples[0, round(click_s * rate_hz)] = 0.9
    return Audio(samples=samples, rate_hz=rate_hz)


def heard_at(path: Path, near_s: float) -> float:
    samples = np.abs(read_audio(path, 48000).samples[0])
    begin = round((near_s - 0.2) * 48000)
    return (begin + samples[begin : begin + 19200].argmax()) / 48000


def write(path: Path, count: int, fps: float = 25, size: tuple[int, int] = SIZE, **options) -> Path:
    with VideoWriter(path, size, fps, synthetic=MADE, **options) as writer:
        for index in range(writer.frames_done, count):
            writer.write(smooth(index, size))
    return path


def check_sync(path: Path, fps: float, rate_hz: int, length_s: int) -> None:
    exact = Fraction(round(fps * 1001), 1001)
    at_s = (0.5, length_s - 0.5)
    write(path, round(length_s * exact), fps, sound=clicks(rate_hz, length_s + 1, at_s))
    for click_s in at_s:
        assert abs(heard_at(path, click_s) - click_s) <= 0.001
    times = [frame.time_s for frame in read_frames(path)]
    assert np.abs(times - np.arange(round(length_s * exact)) / float(exact)).max() <= 0.0006
    assert read_audio(path).duration_s == pytest.approx(float(len(times) / exact), abs=0.022), "sound ends with picture"


FPS = [24, 25, 30000 / 1001, 30, 60]
RATES = [8000, 16000, 22050, 44100, 48000]


@pytest.mark.parametrize(("fps", "rate_hz"), list(zip(FPS, RATES, strict=True)))
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_and_picture_stay_together(tmp_path, fps, rate_hz, suffix):
    check_sync(tmp_path / f"out{suffix}", fps, rate_hz, 2)


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("fps", FPS)
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_sound_and_picture_stay_together_everywhere(tmp_path, fps, rate_hz, suffix):
    check_sync(tmp_path / f"out{suffix}", fps, rate_hz, 20)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_every_container_keeps_colours_tags_and_names(tmp_path, suffix):
    path = write(tmp_path / f"résultat 图 1{suffix}", 10)
    for index, frame in enumerate(read_frames(path)):
        # chroma has half the resolution and quality is not lossless: the mean tells a wrong matrix or range
        assert np.abs(frame.rgb.astype(int) - smooth(index)).mean() < 3
    with av.open(str(path)) as file:
        tags = {key.lower(): value for key, value in file.metadata.items()}
        assert file.streams.video[0].codec_context.color_primaries == 1
    assert tags["synthetic_media"] == "true"
    assert tags["comment"] == "Synthetic video made by talkingface 1.2, system portrait, weights portrait.clean"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (190, 140, 120)])
def test_flat_colours_come_back_within_three_levels(tmp_path, colour):
    with VideoWriter(tmp_path / "a.mp4", SIZE, 25, synthetic=MADE, quality=4) as writer:
        for _ in range(3):
            writer.write(np.full((48, 64, 3), colour, np.uint8))
    for frame in read_frames(tmp_path / "a.mp4"):
        assert np.abs(frame.rgb.astype(int) - colour).max() <= 3


def decode_alpha(path: Path, decoder: str) -> list[np.ndarray]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context = av.CodecContext.create(decoder, "r")
        context.extradata = stream.codec_context.extradata
        context.width, context.height = stream.width, stream.height
        frames = [frame for packet in file.demux(stream) for frame in context.decode(packet)]
    return [frame.reformat(format="rgba").to_ndarray()[..., 3] for frame in frames]


@pytest.mark.parametrize("key", [None, "job"])
@pytest.mark.parametrize(("suffix", "decoder"), [(".webm", "libvpx-vp9"), (".mov", "prores")])
def test_transparency_comes_back(tmp_path, suffix, decoder, key):
    path = tmp_path / f"cut{suffix}"
    alphas = [cv2.GaussianBlur(np.roll(np.eye(48, 64, dtype=np.uint8) * 255, k, 1), (0, 0), 3) * 4 for k in range(12)]
    with VideoWriter(path, SIZE, 25, alpha=True, synthetic=MADE, key=key, segment_frames=5) as writer:
        for index, alpha in enumerate(alphas):
            writer.write(smooth(index), alpha)
    decoded = decode_alpha(path, decoder)
    assert len(decoded) == 12
    for alpha, back in zip(alphas, decoded, strict=True):
        assert np.abs(alpha.astype(int) - back).mean() < 2
    assert len(list(read_frames(path))) == 12


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_transparency_where_it_cannot_be(tmp_path, suffix):
    with pytest.raises(OutputError, match=r"\.webm .*\.mov"):
        VideoWriter(tmp_path / f"a{suffix}", SIZE, 25, alpha=True, synthetic=MADE)


def test_odd_sizes_grow_by_a_pixel(tmp_path):
    path = write(tmp_path / "odd.mp4", 3, size=(63, 47))
    rgb = next(read_frames(path)).rgb
    assert rgb.shape == (48, 64, 3)
    assert np.abs(rgb[:47, :63].astype(int) - smooth(0, (63, 47))).mean() < 3


def test_sound_from_a_file_late_start_included(tmp_path):
    late = tmp_path / "late.mkv"
    with av.open(str(late), "w") as file:
        picture = file.add_stream("libx264", rate=25)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuv420p"
        voice = file.add_stream("pcm_s16le", rate=16000, layout="stereo")
        frame = av.VideoFrame(64, 64, "yuv420p")
        for index in range(50):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(picture.encode(frame))
        file.mux(picture.encode(None))
        sound = av.AudioFrame.from_ndarray(
            (clicks(16000, 1, (0.5,)).samples.repeat(2, 1) * 32767).astype(np.int16), format="s16", layout="stereo"
        )
        sound.sample_rate, sound.time_base, sound.pts = 16000, Fraction(1, 16000), 4800
        file.mux(voice.encode(sound))
    path = write(tmp_path / "out.mp4", 30, sound=late)
    assert abs(heard_at(path, 0.8) - 0.8) <= 0.001
    with av.open(str(path)) as file:
        assert file.streams.audio[0].rate == 48000 and file.streams.audio[0].layout.name == "stereo"


def test_unusable_sound_is_told_before_any_work(tmp_path):
    silent = write(tmp_path / "silent.mp4", 3)
    with pytest.raises(SpeechError, match="no sound track"):
        VideoWriter(tmp_path / "out.mp4", SIZE, 25, sound=silent, synthetic=MADE)
    with pytest.raises(InputError, match="no file"):
        VideoWriter(tmp_path / "out.mp4", SIZE, 25, sound=tmp_path / "none.wav", synthetic=MADE)
    assert [entry.name for entry in tmp_path.iterdir()] == ["silent.mp4"]


@pytest.mark.parametrize("key", [None, "job"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_job_leaves_the_earlier_file(tmp_path, error, key):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"earlier")
    with pytest.raises(error), VideoWriter(path, SIZE, 25, synthetic=MADE, key=key) as writer:
        writer.write(smooth(0))
        raise error
    assert path.read_bytes() == b"earlier" and [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_places_that_cannot_be_written(tmp_path):
    (tmp_path / "folder.mp4").mkdir()
    cases = {"none/a.mp4": "does not exist", "folder.mp4": "is a folder", "a.gif": "must end in", "a": "must end in"}
    for name, reason in cases.items():
        with pytest.raises(OutputError, match=reason):
            VideoWriter(tmp_path / name, SIZE, 25, synthetic=MADE)
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "a.mp4", SIZE, 25, synthetic=MADE):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.mp4"]


@pytest.mark.parametrize("limit", [4096, 150_000], ids=["at the first write", "later"])
@pytest.mark.parametrize("key", [None, "job"])
def test_full_disk(tmp_path, limit, key):
    """A limit on file size makes the operating system itself refuse, in the encoder's writes or in the last one."""
    resource = pytest.importorskip("resource")
    path = tmp_path / "out.mp4"
    path.write_bytes(b"earlier")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with (
            pytest.raises(OutputError, match=r"out\.mp4") as caught,
            VideoWriter(path, (320, 240), 25, synthetic=MADE, key=key) as writer,
        ):
            for index in range(10):
                writer.write(np.roll(noise, 7 * index, axis=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"earlier" and [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_full_disk_at_the_end_says_so(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match="disk is full"):
        write(tmp_path / "out.mp4", 3)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match="uint8"), VideoWriter(tmp_path / "a.mp4", SIZE, 25, synthetic=MADE) as writer:
        writer.write(np.zeros((10, 10, 3), np.uint8))


def run_until_killed(path: Path, count: int, **options) -> None:
    """What a kill leaves behind: no block ends, nothing is flushed, nothing is cleaned up."""
    program = f"""
import os, numpy as np
from pathlib import Path
from talkingface.video.write import Synthetic, VideoWriter
made = Synthetic(tool_version="1.2", system="portrait", weights="portrait.clean")
writer = VideoWriter(Path({str(path)!r}), {SIZE}, 25, synthetic=made, **{options!r})
for index in range({count}):
    writer.write(np.full((48, 64, 3), 80 + index, np.uint8))
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 9


def interrupt(path: Path, count: int, **options) -> None:
    """Ctrl-C after `count` frames."""
    with pytest.raises(KeyboardInterrupt), VideoWriter(path, SIZE, 25, synthetic=MADE, **options) as writer:
        for index in range(writer.frames_done, count):
            writer.write(smooth(index))
        raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".webm", ".mkv"])
def test_killed_job_goes_on(tmp_path, suffix):
    path = tmp_path / f"long job{suffix}"
    options = {"key": "inputs and options", "segment_frames": 30}
    run_until_killed(path, 45, **options)
    options["sound"] = clicks(16000, 4, (0.5, 2.9))
    interrupt(path, 70, **options)
    assert not path.exists()
    with VideoWriter(path, SIZE, 25, synthetic=MADE, **options) as writer:
        assert writer.frames_done == 60
        for index in range(60, 80):
            writer.write(smooth(index))
        assert writer.num_frames == 80
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    frames = list(read_frames(path))
    assert len(frames) == 80 and probe(path).num_frames == 80
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(80)], abs=0.0006)
    assert np.abs(frames[29].rgb.astype(int) - (80 + 29)).mean() < 3
    for index in (30, 59, 60, 79):
        assert np.abs(frames[index].rgb.astype(int) - smooth(index)).mean() < 3
    for click_s in (0.5, 2.9):
        assert abs(heard_at(path, click_s) - click_s) <= 0.001


def test_job_killed_before_the_last_step_only_joins(tmp_path):
    path = tmp_path / "a.mp4"
    interrupt(path, 60, key="k", segment_frames=30)
    with VideoWriter(path, SIZE, 25, synthetic=MADE, key="k", segment_frames=30) as writer:
        assert writer.frames_done == 60
    assert len(list(read_frames(path))) == 60


def test_another_job_does_not_go_on_from_it(tmp_path):
    path = tmp_path / "a.mp4"
    interrupt(path, 60, key="k", segment_frames=30)
    assert len(list(tmp_path.iterdir())) == 1
    for options in ({"key": "other"}, {"key": "k", "quality": 30}):
        writer = VideoWriter(path, SIZE, 25, synthetic=MADE, **options)
        assert writer.frames_done == 0
        writer.abort()
    assert list(tmp_path.iterdir()) == []


def test_short_job_with_key_is_written_once(tmp_path):
    path = write(tmp_path / "a.mp4", 20, key="k", sound=clicks(16000, 2, (0.3,)))
    assert len(list(read_frames(path))) == 20 and abs(heard_at(path, 0.3) - 0.3) <= 0.001
