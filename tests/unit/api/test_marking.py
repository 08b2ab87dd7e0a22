"""Every way that frames leave by lays the mark on; leaving it out is said."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import talkingface
from talkingface.core.errors import UsageError
from talkingface.trust.mark import PUBLIC_KEY, Marker, find_mark, mark_payload
from voices import make_voice, write_wav

pytestmark = pytest.mark.usefixtures("meter")
OF_METER = {"system": "meter", "device": "cpu"}
WHY = "to compare"


def _rgb(frames: object) -> np.ndarray:
    return np.concatenate([piece.rgb for piece in frames])  # type: ignore[attr-defined]


def _marked(rgb: np.ndarray, payload: int | None, key: bytes = PUBLIC_KEY) -> np.ndarray:
    assert payload is not None
    marker = Marker((rgb.shape[2], rgb.shape[1]), 25, payload, key)
    return np.stack([marker.apply(picture) for picture in rgb])


def test_frames_of_animate_and_render_are_marked(photo: Path, voice_file: Path) -> None:
    motion = talkingface.motion(voice_file, **OF_METER)
    for make in (
        lambda **more: talkingface.animate(photo, voice_file, **OF_METER, **more),
        lambda **more: talkingface.animate(photo, voice_file, layout="strip", **OF_METER, **more),
        lambda **more: talkingface.animate(photo, iter([make_voice(1.0)]), **OF_METER, **more),
        lambda **more: talkingface.render(photo, motion, **OF_METER, **more),
    ):
        made, plain = make(), _rgb(make(no_mark=WHY))
        assert made.payload == mark_payload(made.job)
        marked = _rgb(made)
        np.testing.assert_array_equal(marked, _marked(plain, made.payload))
        assert (marked != plain).any()


def test_a_job_goes_on_with_equal_frames(photo: Path, voice_file: Path) -> None:
    made = talkingface.animate(photo, voice_file, **OF_METER)
    np.testing.assert_array_equal(_rgb(made.frames(13)), _rgb(made)[13:])


def test_the_key_of_the_environment_is_used(photo: Path, voice_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = _rgb(talkingface.animate(photo, voice_file, no_mark=WHY, **OF_METER))
    monkeypatch.setenv("TALKINGFACE_MARK_KEY", "mine")
    made = talkingface.animate(photo, voice_file, **OF_METER)
    np.testing.assert_array_equal(_rgb(made), _marked(plain, made.payload, b"mine"))


def test_transparent_parts_keep_their_colour(photo: Path, voice_file: Path) -> None:
    options = {"background": "transparent", **OF_METER}
    made, plain = (
        talkingface.animate(photo, voice_file, **options),
        talkingface.animate(photo, voice_file, no_mark=WHY, **options),
    )
    for one, other in zip(made, plain, strict=True):
        assert one.mask is not None and other.mask is not None
        np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.rgb[one.mask != 255], other.rgb[one.mask != 255])


def test_left_out_with_a_reason(photo: Path, voice_file: Path, tmp_path: Path) -> None:
    made = talkingface.animate(photo, voice_file, no_mark="a  test", **OF_METER)
    made.save(tmp_path / "out.mp4")
    assert made.payload is None and made.report["mark_payload"] is None
    assert made.report["withheld"] == {"mark": "a test"}
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.metadata["no_mark"] == "a test"
    for reason in (" ", True, 5):
        with pytest.raises(UsageError, match="--no-mark needs a reason in words"):
            talkingface.animate(photo, voice_file, no_mark=reason, **OF_METER)


def test_a_finished_video_names_its_job(tmp_path: Path) -> None:
    from talkingface.core.samples import sample

    speech = write_wav(tmp_path / "s.wav", make_voice(3.2))
    made = talkingface.animate(sample("portrait"), speech, size=512, **OF_METER)
    made.save(tmp_path / "out.mp4")
    assert made.report["mark_payload"] == f"{made.payload:012x}"
    found = find_mark(tmp_path / "out.mp4")
    assert found.state == "found" and found.payload == made.payload
