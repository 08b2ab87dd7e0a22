"""Alignment, crops, augmentation, sound and numbering of the published data side."""

from __future__ import annotations

from itertools import cycle

import numpy as np

from parity.fixtures import load_fixture
from talkingface.systems.pcavs.alignment import align, crop
from talkingface.systems.pcavs.data import mel, timing
from talkingface.systems.pcavs.official import augment


def test_alignment():
    fixture = load_fixture("pcavs", "align68")
    assert fixture.config["template"] == align.TEMPLATE.tolist() and fixture.config["size"] == align.SIZE_PX
    assert fixture.config["ema"] == [align.KEPT, align.NEW]
    groups = [range(*fixture.config[name]) for name in ("eye_right", "eye_left", "mouth")]
    points = align.mean_points(fixture.array("landmarks"), groups)
    fixture.assert_close("three_points", points, 1e-5)
    fixed, matrices = align.similarity(points), align.alignment(points)
    fixture.assert_close("M_mean", fixed, 1e-5)
    fixture.assert_close("bias", matrices[:, :, 2] - fixed[:, 2], 1e-5)
    fixture.assert_close("M_per_frame", matrices, 1e-5)
    frames = fixture.array("images", count=len(points))
    warped = np.stack([align.warp(frame, matrix) for frame, matrix in zip(frames, matrices, strict=True)])
    fixture.assert_pixels("warped_uint8", warped, 2, 0.999)


def test_speech_columns():
    fixture = load_fixture("pcavs", "audio_mel")
    sound = fixture.array("signal")
    scaled = sound * np.float32(mel.speech_gain(sound))
    fixture.assert_close("normalized_wav", scaled, 1e-5)
    fixture.assert_close("window", mel.window(), 1e-6)
    fixture.assert_close("mel_basis", mel.mel_filters(), 1e-5)
    columns = mel.speech_mel(sound)
    padded = np.pad(scaled, (mel.PAST, len(columns) * mel.HOP - len(scaled)))
    fixture.assert_close("stft_abs", mel.spectra(padded), 1e-5)
    assert np.abs(fixture.pick("mel", columns) - fixture.stored("mel")).max() <= 2e-4
    frames = timing.frame_range(len(columns))
    fixture.assert_equal("frame_indices", np.array(frames))
    fixture.assert_equal("audio_starts", np.array([timing.window_start(frame) for frame in frames]))
    windows = [name for name in fixture.outputs if name.startswith("window_for")]
    for name in windows:
        (heard,) = mel.mel_windows(columns, [int(name.rpartition("_")[2])])
        assert np.abs(fixture.pick(name, heard) - fixture.stored(name)).max() <= 2e-4
    assert windows


def test_numbering():
    fixture = load_fixture("pcavs", "frame_index")
    rows = []
    for count in fixture.inputs["lengths"]:
        length = timing.mel_length(count)
        frames = timing.frame_range(length)
        starts = timing.window_start(frames[0]), timing.window_start(frames[-1])
        rows.append((count, length, len(frames), frames[0], frames[-1], *starts))
    fixture.assert_equal("per_length", np.array(rows))
    passes = [name for name in fixture.outputs if name.startswith("pingpong")]
    for name in passes:
        count, length = int(name.rpartition("_")[2]), fixture.outputs[name]["shape"][0]
        fixture.assert_equal(name, np.array([timing.ping_pong(i, count) for i in range(length)]))
    assert passes


def test_what_networks_see():
    fixture = load_fixture("pcavs", "image_io")
    rgb = np.ascontiguousarray(fixture.array("image")[..., ::-1])
    plain, trim = fixture.config["target_crop_len"]
    seen = crop.loader_crop(rgb, plain)
    fixture.assert_pixels("cropped_rgb_uint8", seen, 1)
    fixture.assert_pixels(f"cropped_rgb_target_crop{trim}", crop.loader_crop(rgb, trim), 1)
    fixture.assert_pixels("tensor", crop.to_network(seen), 0.009)
    fixture.assert_pixels("back_to_uint8", crop.from_network(fixture.input("tensor_in").numpy()), 1)


def augmentations(fixture) -> list[augment.Augmentation]:
    """The recorded draws: colour k goes with shape k, starting again with the shorter list."""
    colours, shapes = fixture.config["color"], fixture.config["reshape"]
    count = max(len(colours), len(shapes))
    return [
        augment.Augmentation(
            factor=colour["factor"],
            channels=tuple(colour["channels"]),
            narrow=shape["branch"] == "narrow_tall",
            reshape_px=shape["reshape_size"],
            extra_px=shape["extra_padding"],
            perspective_px=shape["pers_size"],
            enlarge_px=shape["enlarge_size"],
            blur_sizes=tuple(fixture.config["median_ksize_per_frame"]),
        )
        for _, colour, shape in zip(range(count), cycle(colours), cycle(shapes), strict=False)
    ]


def test_augmentation():
    fixture = load_fixture("pcavs", "augment")
    frames = fixture.array("frames")
    for number, drawn in enumerate(augmentations(fixture)):
        if number < len(fixture.config["color"]):
            fixture.assert_pixels(f"color_{number}", drawn.coloured(frames), 1)
        if number < len(fixture.config["reshape"]):
            fixture.assert_pixels(f"reshape_{number}", drawn.reshaped(frames), 2, 0.995)
            # recorded for a plain crop; the result above goes by the side of the squeezed square
            matrix = drawn.perspective(fixture.config["crop_size"])
            fixture.assert_close(f"perspective_matrix_{number}", matrix, 1e-5)
    fixture.assert_pixels("median_blur", augment.blurred(frames, drawn.blur_sizes), 2, 0.995)
    fixture.assert_pixels("sharpen", augment.sharpened(frames), 1)
