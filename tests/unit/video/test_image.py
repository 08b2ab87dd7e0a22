from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from talkingface.core.errors import InputError, OutputError, UsageError
from talkingface.video.image import is_image, read_image, write_image


def gradient(height: int = 40, width: int = 60) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(20, 220, width), np.linspace(30, 200, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tiff", "a.bmp", "a.avif", "bild ü 图.heic"])
def test_common_kinds(tmp_path, name):
    path = tmp_path / name
    image = Image.fromarray(gradient())
    if name.endswith("heic"):
        pillow_heif.from_pillow(image).save(path, quality=95)
    else:
        image.save(path, **({"quality": 95} if name.endswith(("jpg", "webp", "avif")) else {}))
    picture = read_image(path)
    assert picture.alpha is None and picture.rgb.dtype == np.uint8 and picture.rgb.shape == (40, 60, 3)
    assert np.abs(picture.rgb.astype(int) - gradient()).mean() < 4
    assert is_image(path)


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, -1), (8, 1)])
def test_exif_rotation(tmp_path, orientation, turns):
    image = Image.fromarray(gradient())
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / "phone.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "phone.png").rgb, np.rot90(gradient(), turns))


def test_transparency_is_kept_apart(tmp_path):
    alpha = np.linspace(0, 255, 60).astype(np.uint8)[None].repeat(40, axis=0)
    write_image(tmp_path / "cut out.png", np.dstack([gradient(), alpha]))
    picture = read_image(tmp_path / "cut out.png")
    assert np.array_equal(picture.rgb, gradient()) and np.array_equal(picture.alpha, alpha)
    write_image(tmp_path / "opaque.png", np.dstack([gradient(), np.full((40, 60), 255, np.uint8)]))
    assert read_image(tmp_path / "opaque.png").alpha is None


def test_palette_with_transparency(tmp_path):
    image = Image.fromarray(gradient()).quantize(64)
    image.info["transparency"] = 0
    image.save(tmp_path / "p.png", transparency=0)
    picture = read_image(tmp_path / "p.png")
    assert picture.alpha is not None and set(np.unique(picture.alpha)) == {0, 255}


def write_png(path, depth: int, kind: int, rows: list[bytes], clear: bytes) -> None:
    """A PNG 4 pixels wide with a transparent colour, which Pillow itself cannot write at other depths than 8."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 4, len(rows), depth, kind, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), chunk(b"tRNS", clear), chunk(b"IDAT", body), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


@pytest.mark.parametrize(
    ("depth", "kind", "rows", "clear", "levels"),
    [
        (16, 0, [b"\x12\x34" * 4, b"\x12\xff" * 4, b"\xc8\xc8" * 4], b"\x12\x34", [18, 19, 200]),
        (16, 2, [b"\x12\x34\x12\x34\x12\x34" * 4, b"\xc8\xc8" * 12], b"\x12\x34" * 3, [18, 200]),
        (4, 0, [b"\x33\x33", b"\x88\x88"], b"\x00\x03", [51, 136]),
        (2, 0, [b"\x55", b"\xaa"], b"\x00\x01", [85, 170]),
    ],
)
def test_transparent_colour_at_any_depth(tmp_path, depth, kind, rows, clear, levels):
    write_png(tmp_path / "clear.png", depth, kind, rows, clear)
    picture = read_image(tmp_path / "clear.png")
    assert picture.rgb[:, 0, 0].tolist() == levels
    assert picture.alpha is not None and picture.alpha[:, 0].tolist() == [0] + [255] * (len(rows) - 1)


@pytest.mark.parametrize(
    ("name", "note"), [("a.webp", "animated; its first frame"), ("a.avif", "animated"), ("a.tiff", "several pages")]
)
def test_of_several_pictures_the_first_is_taken_and_a_note_says_so(tmp_path, name, note):
    images = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    images[0].save(tmp_path / name, save_all=True, append_images=images[1:])
    picture = read_image(tmp_path / name)
    assert len(picture.notes) == 1 and note in picture.notes[0] and name in picture.notes[0]
    assert picture.rgb[0, 0, 0] > 240 and picture.rgb[0, 0, 2] < 10 and is_image(tmp_path / name)
    images[0].save(tmp_path / f"still {name}")
    assert read_image(tmp_path / f"still {name}").notes == ()


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "CMYK"])
def test_other_colour_modes_become_rgb(tmp_path, mode):
    suffix = "tiff" if mode == "CMYK" else "png"
    Image.fromarray(gradient()).convert(mode).save(tmp_path / f"m.{suffix}")
    assert read_image(tmp_path / f"m.{suffix}").rgb.shape == (40, 60, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(tmp_path, channels):
    values = gradient().astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), values[..., 0] if channels == 1 else values[..., ::-1])
    expected = gradient()[..., :1].repeat(3, axis=2) if channels == 1 else gradient()
    assert np.abs(read_image(tmp_path / "deep.png").rgb.astype(int) - expected).max() <= 1


def test_colour_profile_is_converted(tmp_path):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # a profile whose red primary is sRGB's blue and the reverse
    swapped = srgb.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    image = Image.new("RGB", (8, 8), (200, 80, 40))
    for profile, expected in [(srgb, (200, 80, 40)), (swapped, (40, 80, 200)), (b"broken", (200, 80, 40))]:
        image.save(tmp_path / "a.png", icc_profile=profile)
        assert np.abs(read_image(tmp_path / "a.png").rgb.astype(int) - expected).max() <= 1


def test_unusable_pictures_give_one_line(tmp_path):
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:3000])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    cases = {"cut.jpg": "damaged", "text.png": "not a picture", "empty.png": "is empty", "none.png": "no file"}
    for name, reason in cases.items():
        with pytest.raises(InputError, match=reason) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="folder"):
        read_image(tmp_path)
    assert not is_image(tmp_path / "text.png") and not is_image(tmp_path / "none.png") and not is_image(tmp_path)


def test_bomb_is_refused_before_it_is_unpacked(tmp_path):
    small = io.BytesIO()
    Image.new("L", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = struct.pack(">2I", 30_000, 30_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "bomb.png").write_bytes(data)
    with pytest.raises(InputError, match="megapixels"):
        read_image(tmp_path / "bomb.png")


def test_animated_gif_is_not_a_still(tmp_path):
    frames = [Image.fromarray(gradient() + k) for k in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert not is_image(tmp_path / "a.gif")


def test_refused_writes(tmp_path):
    with pytest.raises(UsageError, match=".png"):
        write_image(tmp_path / "a.xyz", gradient())
    with pytest.raises(OutputError, match="transparency"):
        write_image(tmp_path / "a.jpg", np.zeros((4, 4, 4), np.uint8))
    with pytest.raises(OutputError, match="does not exist"):
        write_image(tmp_path / "none" / "a.png", gradient())
