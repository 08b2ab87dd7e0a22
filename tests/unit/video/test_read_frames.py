from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from talkingface.audio.read import read_audio
from talkingface.core.errors import InputError
from talkingface.video import hdr
from talkingface.video.read import probe, read_frames


def numbers(frames) -> list[int]:
    """Which pictures of `make_clip` these are, by their grey level."""
    return [round((float(frame.rgb.mean()) - 16) / 4) for frame in frames]


def test_constant_rate_times_are_exact(make_clip):
    path = make_clip(range(0, 400, 40))
    frames = list(read_frames(path))
    assert numbers(frames) == list(range(10))
    assert [frame.time_s for frame in frames] == pytest.approx([k / 25 for k in range(10)], abs=1e-9)
    info = probe(path)
    assert (info.size, info.fps, info.num_frames, info.variable_rate) == ((64, 48), 25, 10, False)
    assert info.has_video and not info.has_audio and info.duration_s == pytest.approx(0.4)


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_variable_rate_keeps_its_times_and_resamples_by_them(make_clip, name):
    times_ms = [0, 40, 80, 200, 240, 400]
    path = make_clip(times_ms, name=name)
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == pytest.approx([t / 1000 for t in times_ms], abs=1e-6)
    assert probe(path).variable_rate
    even = list(read_frames(path, fps=25))
    assert numbers(even)[:11] == [0, 1, 2, 2, 2, 3, 4, 4, 4, 4, 5]
    assert [frame.time_s for frame in even[:3]] == [0, 1 / 25, 2 / 25]


def test_millisecond_clocks_do_not_repeat_frames(make_clip):
    path = make_clip([round(k * 1000 / 30) for k in range(20)], name="webcam.mkv")
    assert numbers(read_frames(path, fps=30)) == list(range(20))


def test_start_is_honoured(make_clip):
    path = make_clip(range(0, 1600, 40))
    frames = list(read_frames(path, start_s=1.0))
    assert frames[0].time_s == pytest.approx(1.0) and numbers(frames) == list(range(25, 40))
    assert numbers(read_frames(path, start_s=1.0, fps=12.5)) == list(range(25, 40, 2))


def test_late_picture_and_late_sound_share_one_zero(make_clip):
    click = np.zeros(48000)
    click[24000] = 0.9
    late_picture = make_clip(range(500, 1500, 40), name="a.mkv", sound=click)
    assert next(read_frames(late_picture)).time_s == pytest.approx(0.5, abs=1e-3)
    assert len(list(read_frames(late_picture, fps=25))) == pytest.approx(37.5, abs=1)
    assert np.abs(read_audio(late_picture, 48000).samples).argmax() == pytest.approx(24000, abs=48)

    late_sound = make_clip(range(0, 2000, 40), name="b.mkv", sound=click, sound_ms=700)
    assert next(read_frames(late_sound)).time_s == 0
    assert np.abs(read_audio(late_sound, 48000).samples).argmax() == pytest.approx(0.7 * 48000 + 24000, abs=48)


def turn_track(path, matrix: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d into the track header, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "degrees", "expected"),
    [
        ((0, 1, -1, 0), 90, lambda image: np.rot90(image, -1)),
        ((-1, 0, 0, -1), 180, lambda image: image[::-1, ::-1]),
        ((0, -1, 1, 0), 270, lambda image: np.rot90(image, 1)),
        ((-1, 0, 0, 1), 180, lambda image: image[:, ::-1]),
    ],
)
def test_phone_rotation_is_applied(make_clip, matrix, degrees, expected):
    corner = np.full((48, 64, 3), 40, np.uint8)
    corner[:16, :24] = 220
    path = make_clip(range(0, 200, 40), picture=lambda index: corner)
    turn_track(path, matrix)
    rgb = next(read_frames(path)).rgb
    assert rgb.flags["C_CONTIGUOUS"]
    assert np.abs(rgb.astype(int) - expected(corner)).max() <= 12
    assert probe(path).size == (rgb.shape[1], rgb.shape[0]) and probe(path).rotation_deg == degrees


def test_longest_side(make_clip):
    path = make_clip([0, 40])
    assert next(read_frames(path, longest_px=32)).rgb.shape == (24, 32, 3)
    assert next(read_frames(path, longest_px=100)).rgb.shape == (48, 64, 3)


def test_corrupt_middle_is_skipped_and_told(make_clip):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 255, (60, 48, 64, 3), dtype=np.uint8)
    path = make_clip(range(0, 2400, 40), name="a.mkv", picture=lambda index: noise[index])
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 10] = bytes(len(data) // 10)
    path.write_bytes(data)
    lost: list[str] = []
    frames = list(read_frames(path, lost=lost))
    assert 20 < len(frames) < 60
    assert frames[-1].time_s == pytest.approx(2.36, abs=0.05), "what follows the damage is kept"
    assert len(lost) == 1 and "frames up to" in lost[0]


def test_truncated_file_keeps_its_beginning(make_clip):
    path = make_clip(
        range(0, 2000, 40),
        name="a.mkv",
        picture=lambda i: np.random.default_rng(i).integers(0, 255, (48, 64, 3), dtype=np.uint8),
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 15 < len(list(read_frames(path, lost=[]))) < 40


def test_unusable_files_give_one_line(tmp_path):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text file ü.mp4"
    empty.touch()
    text.write_text("no video at all" * 50)
    for path, reason in [
        (empty, "is empty"),
        (text, "cannot be read"),
        (tmp_path, "folder"),
        (tmp_path / "x", "no file"),
    ]:
        for read in (read_frames, probe):
            with pytest.raises(InputError, match=reason) as caught:
                read(path)
            assert "\n" not in str(caught.value)


def test_sound_alone_has_no_pictures(tmp_path):
    path = tmp_path / "voice.wav"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        file.mux(stream.encode(frame))
    info = probe(path)
    assert info.has_audio and not info.has_video and info.duration_s == pytest.approx(1.0)
    with pytest.raises(InputError, match="no pictures"):
        read_frames(path)


def test_sound_video_has_nothing_to_report(make_clip):
    lost: list[str] = []
    assert len(list(read_frames(make_clip([0, 40, 80, 200, 240, 400]), lost=lost))) == 6
    assert lost == []


def write_coded(path, luma: int, *, pixels: str, codec: str, tags: dict[str, int], size=(64, 48)) -> None:
    """A clip of one grey level given as a code value, tagged with colour properties."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options={"crf": "1", "x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame(*size, pixels)
        kind = np.uint16 if "10" in pixels else np.uint8
        for plane in frame.planes:
            np.frombuffer(plane, kind)[:] = 512 if kind is np.uint16 else 128
        np.frombuffer(frame.planes[0], kind)[:] = luma
        for index in range(3):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


@pytest.mark.parametrize(("color_range", "level"), [(1, round((128 - 16) * 255 / 219)), (2, 128)])
def test_limited_and_full_range(tmp_path, color_range, level):
    path = tmp_path / "range.mp4"
    pixels = "yuv420p" if color_range == 1 else "yuvj420p"
    write_coded(path, 128, pixels=pixels, codec="libx264", tags={"color_range": color_range, "colorspace": 1})
    assert abs(int(next(read_frames(path)).rgb[20, 20, 0]) - level) <= 2


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_hdr_is_tone_mapped(tmp_path, transfer):
    path = tmp_path / "hdr.mp4"
    white = 64 + round(876 * (0.58 if transfer == hdr.PQ else 0.75))  # 203 nits in both
    tags = {"color_range": 1, "colorspace": 9, "color_primaries": 9, "color_trc": transfer}
    write_coded(path, white, pixels="yuv420p10le", codec="libx265", tags=tags)
    assert probe(path).hdr
    rgb = next(read_frames(path)).rgb
    assert rgb.dtype == np.uint8 and 225 <= int(rgb[20, 20, 1]) <= 250


def test_tone_curve_is_even_and_never_falls():
    ramp = np.repeat(np.linspace(0, 65535, 1024).astype(np.uint16)[None, :, None], 3, axis=2)
    for transfer in (hdr.PQ, hdr.HLG):
        out = hdr.to_sdr(ramp, transfer)[0].astype(int)
        assert (np.diff(out[:, 1]) >= 0).all() and out[0, 1] == 0 and out[-1, 1] == 255
        assert np.ptp(out, axis=1).max() <= 1, "grey stays grey"
