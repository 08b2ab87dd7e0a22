"""animate, motion, render and their inputs, with a system that costs nothing."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from av.stream import Disposition

import talkingface
from talkingface.api import verbs
from talkingface.core.errors import InputError, OutputError, SpeechError, UsageError, WeightsError
from talkingface.core.motion import load_motion, save_motion
from talkingface.core.progress import progress_listener
from talkingface.core.types import Audio, Frames, Motion
from talkingface.core.weights import save_avatar
from talkingface.video.read import probe, read_frames
from voices import RATE_HZ, make_voice, write_wav

pytestmark = pytest.mark.usefixtures("meter")


PLAIN = "pictures of different jobs are compared"


def _animate(face: object, speech: object = None, **options: object) -> talkingface.Animation:
    options = {"no_mark": PLAIN, **options}
    return talkingface.animate(face, speech, system="meter", device="cpu", **options)  # type: ignore[arg-type]


def _rgb(pieces: talkingface.Animation | list[Frames]) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in pieces])


def _pose(animation: talkingface.Animation) -> np.ndarray:
    return np.concatenate([motion.pose for motion in animation.motions() if motion.pose is not None])


def test_equal_frames_for_a_file_an_audio_and_any_split(photo: Path, voice_file: Path) -> None:
    from talkingface.audio.read import read_audio

    samples = read_audio(voice_file).samples
    expected = _rgb(_animate(photo, voice_file))
    assert len(expected) == 40
    np.testing.assert_array_equal(_rgb(_animate(photo, Audio(samples=samples, rate_hz=RATE_HZ))), expected)
    for cuts in ([1, 2, 9999], [640 * k for k in range(1, 40)], []):
        np.testing.assert_array_equal(_rgb(_animate(photo, iter(np.split(samples[0], cuts)))), expected)


def test_frames_come_while_speech_arrives(photo: Path) -> None:
    heard = 0

    def pieces():
        nonlocal heard
        for piece in np.split(make_voice(4.0), 100):
            heard += 1
            yield piece

    frames = iter(_animate(photo, pieces()))
    next(frames)
    assert heard <= 4  # one frame, two of lookahead


@pytest.mark.parametrize("fps", [24, 29.97, 60])
def test_the_picture_ends_with_the_sound_at_any_rate(photo: Path, tmp_path: Path, fps: float) -> None:
    speech = write_wav(tmp_path / "s.wav", make_voice(1.01))
    animation = _animate(photo, speech, fps=fps)
    assert len(_rgb(animation)) == int(np.ceil(1.01 * animation.fps - 1e-3))
    np.testing.assert_array_equal(_rgb(list(animation.frames(7))), _rgb(animation)[7:])


def test_save_writes_a_whole_file_with_report(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    target = tmp_path / "Ausgabe ü.mp4"
    seen: list[tuple[str, int, int | None]] = []
    animation = _animate(photo, voice_file)
    with progress_listener(lambda *told: seen.append(told)):
        assert animation.save(target, report=tmp_path / "r.json") == target
    info = probe(target)
    assert info.has_audio and info.size == (64, 48) and sum(1 for _ in read_frames(target)) == 40
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["frames"] == 40 and report["weights"]["name"] == "meter.none" and report["notes"] == ["a note"]
    assert report["audio_mouth_offset_ms"] is None and report["audio_mouth_offset_reason"]
    assert seen[-1] == ("drawing frames", 40, 40)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_fault_keeps_the_earlier_file(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from meter_system.system import MeterSystem

    target = tmp_path / "out.mp4"
    target.write_bytes(b"earlier")
    before = set(tmp_path.iterdir())
    render = MeterSystem.render

    def broken(self, avatar, motion, controls, first=0):
        for count, piece in enumerate(render(self, avatar, motion, controls, first)):
            if count == 20:
                raise KeyboardInterrupt
            yield piece

    monkeypatch.setattr(MeterSystem, "render", broken)
    with pytest.raises(KeyboardInterrupt):
        _animate(photo, voice_file).save(target)
    assert target.read_bytes() == b"earlier" and set(tmp_path.iterdir()) == before


def test_a_killed_long_job_goes_on_with_equal_pictures(
    photo: Path, voice_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from functools import partial

    from talkingface.api import animation as module
    from talkingface.video import write

    monkeypatch.setattr(module, "RESUME_FROM_S", 1.0)
    monkeypatch.setattr(write, "VideoWriter", partial(write.VideoWriter, segment_frames=10))
    _animate(photo, voice_file, no_mark=None).save(tmp_path / "whole.mp4")

    def stop(stage: str, done: int, total: int | None) -> None:
        if done == 35:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress_listener(stop):
        _animate(photo, voice_file, no_mark=None).save(tmp_path / "killed.mp4")
    assert not (tmp_path / "killed.mp4").exists()
    again = _animate(photo, voice_file, no_mark=None)
    again.save(tmp_path / "killed.mp4")
    assert again.frames_resumed >= 10
    pairs = zip(read_frames(tmp_path / "whole.mp4"), read_frames(tmp_path / "killed.mp4"), strict=True)
    assert max(int(np.abs(a.rgb.astype(int) - b.rgb.astype(int)).mean()) for a, b in pairs) <= 2
    other = _animate(photo, voice_file, seed=5)
    assert other.key() != again.key() and again.key() == _animate(photo, voice_file, no_mark=None).key()


def test_motion_files_can_be_edited_and_rendered(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    motion = talkingface.motion(voice_file, system="meter", device="cpu")
    save_motion(tmp_path / "m.npz", motion)
    spoken = _rgb(_animate(photo, voice_file))
    rendered = _rgb(talkingface.render(photo, tmp_path / "m.npz", system="meter", device="cpu", no_mark=PLAIN))
    np.testing.assert_array_equal(rendered, spoken)
    louder = talkingface.motion(voice_file, system="meter", device="cpu", expression_scale=2.0)
    np.testing.assert_allclose(louder.expression, 2 * motion.expression)
    talkingface.render(photo, motion, speech=voice_file, system="meter", device="cpu").save(tmp_path / "m.mp4")
    assert probe(tmp_path / "m.mp4").has_audio
    foreign = Motion(space="other", expression=motion.expression, pose=None, blink=None, fps=25.0)
    with pytest.raises(UsageError, match=r"'other'.*'meter1'"):
        talkingface.render(photo, foreign, system="meter")


def write_two_tracks(path: Path, first: np.ndarray, second: np.ndarray) -> Path:
    """A sound file with two tracks, the second of which is the default one."""
    with av.open(str(path), "w") as file:
        streams = [file.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono") for _ in range(2)]
        streams[0].disposition, streams[1].disposition = Disposition(0), Disposition.default
        for stream, samples in zip(streams, (first, second), strict=True):
            frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def test_the_sound_track_asked_for_moves_the_face_and_is_heard(photo: Path, tmp_path: Path) -> None:
    from talkingface.audio.read import read_audio

    tracks = [make_voice(1.2), 0.2 * make_voice(1.2)[::-1]]
    both = write_two_tracks(tmp_path / "both.mov", *tracks)
    alone = [write_wav(tmp_path / f"{k}.wav", samples) for k, samples in enumerate(tracks)]
    for track, expected in ((None, 1), (0, 0), (1, 1)):
        animation = _animate(photo, both, sound_track=track)
        assert np.abs(_rgb(animation).astype(int) - _rgb(_animate(photo, alone[expected]))).max() <= 1
        animation.save(tmp_path / "out.mov")
        heard = read_audio(tmp_path / "out.mov").samples[0][2000:18000]
        assert np.corrcoef(heard, tracks[expected][2000:18000])[0, 1] > 0.9
        motion = talkingface.motion(both, system="meter", device="cpu", sound_track=track)
        rendered = talkingface.render(photo, motion, speech=both, system="meter", device="cpu", sound_track=track)
        rendered.save(tmp_path / "rendered.mov")
        heard = read_audio(tmp_path / "rendered.mov").samples[0][2000:18000]
        assert np.corrcoef(heard, tracks[expected][2000:18000])[0, 1] > 0.9
    keys = {_animate(photo, both, sound_track=track).key() for track in (0, 1)}
    keys |= {
        talkingface.render(photo, motion, speech=both, system="meter", device="cpu", sound_track=track).key()
        for track in (0, 1)
    }
    assert len(keys) == 4, "a killed job is not resumed with another track"
    with pytest.raises(SpeechError, match="2 sound tracks, 0 to 1"):
        _animate(photo, both, sound_track=2)
    with pytest.raises(UsageError, match="sound-track"):
        _animate(photo, Audio(samples=tracks[0][None], rate_hz=RATE_HZ), sound_track=0)


def test_channels_that_cancel_are_heard_and_told(photo: Path, tmp_path: Path) -> None:
    voice = make_voice(1.2)
    stereo = np.stack([voice, -voice])
    soundfile.write(tmp_path / "inverted.wav", stereo.T, RATE_HZ, subtype="FLOAT")
    expected = _rgb(_animate(photo, Audio(samples=voice[None], rate_hz=RATE_HZ)))
    for speech in (tmp_path / "inverted.wav", Audio(samples=stereo, rate_hz=RATE_HZ)):
        animation = _animate(photo, speech)
        np.testing.assert_array_equal(_rgb(animation), expected)
        assert ["cancel each other" in note for note in animation.notes].count(True) == 1
        animation.save(tmp_path / "out.mp4")
        assert animation.report["notes"] == animation.notes


def test_head_pose_from_files(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    assert not _pose(_animate(photo, voice_file, pose="still")).any()
    table = tmp_path / "pose.csv"
    table.write_text("time_s,yaw,pitch,roll\n0,0,0,0\n1,90,0,-90\n")
    rows = _pose(_animate(photo, voice_file, pose=str(table)))
    np.testing.assert_allclose(rows[:25, 0], np.deg2rad(90) * np.arange(25) / 25, atol=1e-6)
    np.testing.assert_allclose(rows[25, 0], rows[23, 0])  # backwards after the end
    np.testing.assert_allclose(rows[:, 2], -rows[:, 0])
    save_motion(tmp_path / "m.npz", talkingface.motion(voice_file, system="meter"))
    saved = load_motion(tmp_path / "m.npz").pose
    np.testing.assert_array_equal(_pose(_animate(photo, voice_file, pose=str(tmp_path / "m.npz"))), saved)
    with pytest.raises(UsageError, match="needs a video as the face"):
        _animate(photo, voice_file, pose="source")


def test_pose_origins_are_checked(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    table = tmp_path / "pose.csv"
    table.write_text("0,0,0,0\n1,9,0,0\n")
    for options in ({}, {"pose": str(table)}, {"pose": "still"}):
        with pytest.raises(UsageError, match="--pose-origin is for head motion from a video"):
            talkingface.motion(voice_file, pose_origin="mean", **options)
    drive = tmp_path / "drive.mp4"
    _animate(photo, voice_file).save(drive)
    with pytest.raises(UsageError, match="system meter has no --pose-origin mean"):
        _animate(photo, drive=str(drive), pose_origin="mean")


def test_options_of_a_systems_own(photo: Path, voice_file: Path) -> None:
    usual, dark = (_rgb(_animate(photo, voice_file, set=own)) for own in (None, {"shade": 99}))
    assert usual.max() == 220 and dark[:, 47].max() == 99
    saved = talkingface.motion(voice_file, system="meter")
    drawn = talkingface.render(photo, saved, system="meter", set={"shade": "99"}, no_mark=PLAIN)
    np.testing.assert_array_equal(_rgb(drawn), dark)
    for own, problem in (({"shads": 1}, "did you mean shade"), ({"shade": "much"}, "--set shade=much .*grey level")):
        with pytest.raises(UsageError, match=problem):
            _animate(photo, voice_file, set=own)
    with pytest.raises(UsageError, match="portrait has no options of its own"):
        talkingface.motion(voice_file, set={"shade": 1})


def test_driving_by_video(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    drive = tmp_path / "drive.mp4"
    _animate(photo, voice_file).save(drive)
    alone = _animate(photo, drive=str(drive))
    assert alone.speech is not None and str(alone.speech.source) == str(drive)
    assert len(_rgb(alone)) == 40
    np.testing.assert_array_equal(_pose(alone), np.arange(240).reshape(40, 6))
    assert not _pose(_animate(photo, voice_file, drive=str(drive), pose="still")).any()
    generated = _pose(_animate(photo, voice_file, drive=str(drive), pose="generated"))
    np.testing.assert_allclose(generated[:, 0], 0.01 * np.arange(40), rtol=1e-5)


def test_avatars_are_made_once(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    avatar = talkingface.fit(photo, system="meter", device="cpu")
    save_avatar(tmp_path / "me", avatar)
    stored = talkingface.animate(tmp_path / "me", voice_file, device="cpu", no_mark=PLAIN)
    np.testing.assert_array_equal(_rgb(stored), _rgb(_animate(photo, voice_file)))
    with pytest.raises(UsageError, match="made for system meter"):
        talkingface.animate(avatar, voice_file, system="portrait")


def test_bad_speech_is_one_line_with_the_right_class(photo: Path, tmp_path: Path) -> None:
    bad = make_voice(1.0)
    bad[500] = np.nan
    for speech in (iter([bad]), iter([]), iter([np.zeros(800, np.float32)])):
        with pytest.raises(SpeechError):
            list(_animate(photo, speech))
    with pytest.raises(SpeechError, match="only 0.05 s"):
        _animate(photo, Audio(samples=np.zeros((1, 800), np.float32), rate_hz=RATE_HZ))
    with pytest.raises(InputError, match="there is no file"):
        _animate(photo, tmp_path / "missing.wav")
    with pytest.raises(SpeechError, match="no sound track"):
        silent = tmp_path / "silent.mp4"
        talkingface.render(photo, talkingface.motion(iter([make_voice(1)]), system="meter"), system="meter").save(
            silent
        )
        _animate(photo, silent)
    with pytest.raises(UsageError, match="no speech given"):
        _animate(photo)


def test_bad_faces_options_and_outputs(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        _animate(tmp_path / "missing.jpg", voice_file)
    with pytest.raises(InputError, match="holds no picture"):
        _animate(voice_file, voice_file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not an avatar"):
        _animate(tmp_path / "empty", voice_file)
    with pytest.raises(UsageError, match="unknown option 'sede'; did you mean seed"):
        _animate(photo, voice_file, sede=1)
    with pytest.raises(UsageError, match="blink must be between 0 and 10"):
        _animate(photo, voice_file, blink=-1)
    with pytest.raises(WeightsError, match="no weights named 'meter.big'"):
        _animate(photo, voice_file, weights="big")
    animation = _animate(photo, voice_file)
    with pytest.raises(UsageError, match=r"must end in \.mp4"):
        animation.save(tmp_path / "out.avi")
    with pytest.raises(OutputError, match="create it first"):
        animation.save(tmp_path / "no" / "out.mp4")
    with pytest.raises(UsageError, match=r"\.webm or \.mov"):
        _animate(photo, voice_file, background="transparent").save(tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="iterated but not saved"):
        _animate(photo, iter([make_voice(1.0)])).save(tmp_path / "out.mp4")


def test_weights_of_another_system_or_config_are_refused(meter: None, tmp_path: Path) -> None:
    from talkingface.core.weights import save_weights

    save_weights(tmp_path / "other.one", {}, {"system": "other", "config": {}})
    save_weights(tmp_path / "meter.odd", {}, {"system": "meter", "config": {"gainn": 1.0}})
    with pytest.raises(WeightsError, match="belongs to system other"):
        verbs.load("meter", weights=tmp_path / "other.one")
    with pytest.raises(WeightsError, match=r"config\.gainn"):
        verbs.load("meter", weights=tmp_path / "meter.odd")
    with pytest.raises(UsageError, match="not both"):
        verbs.load("meter", weights="none", preset="tiny")
    assert verbs.load("meter", weights="none") is verbs.load("meter", weights="meter.none")


@pytest.mark.usefixtures("meter")
def test_speech_without_a_voice_gets_a_note(photo: Path, tmp_path: Path) -> None:
    silent = write_wav(tmp_path / "silent.wav", np.zeros(16000, np.float32))
    animation = talkingface.animate(photo, silent, system="meter", device="cpu")
    animation.save(tmp_path / "out.mp4")
    assert animation.report["notes"][-1] == "no voice is heard in the speech; check that it is the right sound"
