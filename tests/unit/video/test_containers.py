"""Containers that cannot seek, say nothing about their length, or know the wrong times: every picture comes once."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from media_files import H264, numbers, striped, tone, write_clip
from talkingface.audio.read import read_audio
from talkingface.core.errors import InputError, TalkingFaceError
from talkingface.video.clock import Clock
from talkingface.video.read import probe, read_frames
from talkingface.video.sound import sound_length_s

B_FRAMES = {"bf": "2", "g": "12"}
NTSC = Fraction(30000, 1001)
CLIPS = {
    "raw.h264": {},
    "raw ntsc.h264": {"fps": NTSC},
    "raw.hevc": {"codec": "libx265", "options": {"x265-params": "log-level=none:bframes=3:keyint=12"}, "fps": 30},
    "raw.m2v": {"codec": "mpeg2video", "options": B_FRAMES, "format": "mpeg2video"},
    "raw.mjpeg": {"codec": "mjpeg", "format": "mjpeg"},
    "old.flv": {"codec": "flv", "sound": "libmp3lame", "sound_hz": 44100},
    "h264.flv": {"sound": "aac"},
    "h264.avi": {},
    "mpeg4.avi": {"codec": "mpeg4", "options": B_FRAMES},
    "mpeg2.avi": {"codec": "mpeg2video", "options": B_FRAMES},
    "plain.avi": {"codec": "mjpeg"},
    "stream.ts": {"sound": "aac"},
    "program.mpg": {"codec": "mpeg2video", "options": B_FRAMES, "sound": "mp2"},
    "live.mkv": {"sound": "aac", "container_options": {"live": "1"}},
    "live.webm": {"codec": "libvpx", "container_options": {"live": "1"}},
    "parts.mp4": {"container_options": {"movflags": "frag_keyframe+empty_moov"}},
}


@pytest.mark.parametrize("name", CLIPS)
def test_every_picture_comes_once_and_the_length_is_known(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, 40, **CLIPS[name])
    fps = CLIPS[name].get("fps", 25)
    info = probe(path)
    assert info.fps == fps and not info.variable_rate
    assert info.duration_s == pytest.approx(40 / fps, abs=0.1) and abs(info.num_frames - 40) <= 2
    lost: list[str] = []
    frames = list(read_frames(path, lost=lost))
    assert numbers(frames) == list(range(40)) and lost == []
    first_s = frames[0].time_s
    times = [first_s + k / fps for k in range(40)]
    assert [frame.time_s for frame in frames] == pytest.approx([float(at) for at in times], abs=1e-3)
    resampled = numbers(read_frames(path, fps=fps))
    assert sorted(set(resampled)) == list(range(40)) and len(resampled) <= 43, "late pictures: the first one earlier"


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("start_s", [0.5, 1.0])
def test_reading_from_a_time_gives_what_reading_from_the_beginning_gives(tmp_path, name, start_s):
    path = write_clip(tmp_path / name, 40, **CLIPS[name])
    whole = [frame for frame in read_frames(path) if frame.time_s >= start_s - 1e-6]
    later = list(read_frames(path, start_s=start_s))
    assert numbers(later) == numbers(whole)
    assert [frame.time_s for frame in later] == [frame.time_s for frame in whole]


def test_stamps_of_decoding_in_a_container_that_should_know_better(tmp_path):
    """As made by tools that carry H.264 over from AVI: pictures are reordered, but the stamps rise."""
    source = write_clip(tmp_path / "right.mkv", 40)
    with av.open(str(source)) as file, av.open(str(tmp_path / "wrong.mkv"), "w") as copy:
        shown = file.streams.video[0]
        stream = copy.add_stream_from_template(shown)
        for number, packet in enumerate(packet for packet in file.demux(shown) if packet.size):
            packet.pts = packet.dts = 40 * number
            packet.stream = stream
            copy.mux(packet)
    frames = list(read_frames(tmp_path / "wrong.mkv"))
    assert numbers(frames) == list(range(40))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(40)], abs=1e-3)


def test_dv_states_its_clock_as_its_rate(tmp_path):
    def large(number: int) -> np.ndarray:
        return np.kron(striped(number), np.ones((9, 6, 1), np.uint8))[:, :720]

    path = write_clip(tmp_path / "tape.dv", 6, codec="dvvideo", picture=large, format="dv")
    assert probe(path).fps == 25 and probe(path).num_frames == 6
    assert len(list(read_frames(path, fps=25))) == 6


def test_a_screen_that_stands_still_is_no_damage_and_no_slow_clip(make_clip):
    path = make_clip([*range(0, 800, 40), *range(5000, 5800, 40)])
    lost: list[str] = []
    info = probe(path)
    assert info.fps == 25 and info.variable_rate and info.duration_s == pytest.approx(5.8)
    assert len(list(read_frames(path, fps=25, lost=lost))) == 145 and lost == []


def test_a_recording_that_begins_still_is_as_fast_as_where_it_moves(make_clip):
    times_ms = [*range(0, 600_000, 1000), *range(600_000, 640_000, 40)]
    path = make_clip(times_ms, picture=lambda index: np.full((16, 16, 3), 100, np.uint8))
    assert probe(path).fps == 25


def test_fast_clips_are_read_at_120_a_second(tmp_path):
    path = write_clip(tmp_path / "slow motion.mp4", 80, fps=240)
    assert probe(path).fps == 120 and probe(path).duration_s == pytest.approx(1 / 3, abs=0.01)
    assert len(list(read_frames(path, fps=120))) == 40


@pytest.mark.parametrize(
    ("kind", "stamps_ms", "times_ms"),
    [
        ("mov", [0, 40, 80, 2000, 2040, 0, 40], [0, 40, 80, 2000, 2040, 2080, 2120]),  # starts over
        ("mov", [0, 40, 120, 80, 160], [0, 40, 120, 80, 160]),  # out of order around damage
        ("mpeg", [0, 40, 80, 40, 80, 120, 240], [0, 40, 80, 120, 160, 200, 240]),  # guessed by FFmpeg
        ("mov", [None, None, 100, None], [0, 40, 100, 140]),
    ],
)
def test_the_clock_goes_on(kind, stamps_ms, times_ms):
    clock, times = Clock("shown", kind, 0.0, 0.0, 0.04), []
    for stamp in stamps_ms:
        frame = av.VideoFrame(16, 16, "gray")
        frame.pts, frame.time_base = stamp, Fraction(1, 1000)
        times.append(clock.time_s(frame))
    assert times == pytest.approx([at / 1000 for at in times_ms])


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_speech_is_heard_in_a_video_whose_pictures_are_lost(tmp_path, name):
    path = write_clip(tmp_path / name, 40, sound="aac")
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        for packet in file.demux(video=0):
            if packet.size and packet.pos is not None:
                data[packet.pos + 8 : packet.pos + packet.size] = bytes(packet.size - 8)
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        probe(path)
    assert read_audio(path).duration_s == pytest.approx(1.6, abs=0.1)
    assert sound_length_s(path) == pytest.approx(1.6, abs=0.1)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.flv"])
def test_the_length_of_the_sound_is_its_own(tmp_path, name):
    """Speech from a video that goes on after it: progress counts to the end of the speech."""
    path = tmp_path / name
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options=H264)
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        voice = file.add_stream("aac", rate=48000, layout="mono")
        file.mux(voice.encode(tone(0, 48000, 48000, 440)))
        file.mux(voice.encode(None))
        for index in range(75):
            frame = av.VideoFrame.from_ndarray(striped(index), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    assert probe(path).duration_s == pytest.approx(3.0, abs=0.1)
    if not name.endswith("flv"):  # its header knows one length
        assert sound_length_s(path) == pytest.approx(1.0, abs=0.1)
    assert read_audio(path).duration_s == pytest.approx(1.0, abs=0.1)


def test_an_unknown_codec_is_one_clear_line(tmp_path):
    path = write_clip(tmp_path / "odd.mp4", 5, sound="aac")
    data = path.read_bytes()
    assert b"avc1" in data
    path.write_bytes(data.replace(b"avc1", b"zzzz"))
    with pytest.raises(InputError) as caught:
        list(read_frames(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.ts", "c.flv", "c.avi", "c.h264", "c.mpg"])
def test_damaged_files_raise_nothing_of_the_demuxer(tmp_path, name):
    raw = name == "c.h264"
    codec = "mpeg2video" if name == "c.mpg" else "libx264"
    source = write_clip(tmp_path / name, 12, codec=codec, sound=None if raw else "mp2" if name == "c.mpg" else "aac")
    whole, random = source.read_bytes(), np.random.default_rng(7)
    for trial in range(12):
        data = bytearray(whole)
        for at in random.integers(0, len(data) if trial % 2 else min(len(data), 500), 1 + 8 * (trial % 4)):
            data[at] = int(random.integers(256))
        damaged = tmp_path / f"{trial}{source.suffix}"
        damaged.write_bytes(data[: int(random.integers(200, len(data)))] if trial % 3 == 0 else data)
        for read in (probe, lambda path: list(read_frames(path)), lambda path: list(read_frames(path, start_s=0.2))):
            try:
                read(damaged)
            except TalkingFaceError as error:
                assert "\n" not in str(error)


def test_a_list_of_other_files_is_refused(make_clip, tmp_path):
    made = make_clip(range(0, 1000, 40), name="stream.ts")
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{made.name}\n#EXT-X-ENDLIST\n")
    for read in (probe, read_frames, read_audio):
        with pytest.raises(InputError, match=r"list of other files|cannot be read"):
            list(read(playlist)) if read is read_frames else read(playlist)
