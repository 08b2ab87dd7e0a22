"""Still pictures in and out: any common file becomes upright sRGB, 8 bits a channel."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from talkingface.core.cache import write_atomic
from talkingface.core.errors import InputError, OutputError, UsageError
from talkingface.core.types import MAX_PIXELS, Photo

pillow_heif.register_heif_opener()


# Named one by one, because Pillow also "opens" MPEG streams and passes EPS to an interpreter.
_FORMATS = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "ICO")
_SRGB = ImageCms.createProfile("sRGB")
_SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}


def is_image(path: str | Path) -> bool:
    """Whether the file's content (not its name) is a still picture that `read_image` takes.

    Animated GIF and PNG count as video. A missing or unreadable file is simply not a picture.
    """
    try:
        with _quiet(), Image.open(path, formats=_FORMATS) as image:
            return not (image.format in ("GIF", "PNG") and getattr(image, "is_animated", False))
    except Image.DecompressionBombError:
        return True  # a picture, which read_image refuses with the reason
    except (OSError, ValueError, SyntaxError):
        return False


def image_size(path: str | Path) -> tuple[int, int] | None:
    """(width, height) of a picture as seen, upright, from its header alone; None if it is none that can be read."""
    try:
        with _quiet(), Image.open(path, formats=_FORMATS) as image:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (image.height, image.width) if sideways else (image.width, image.height)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError):
        return None


def read_image(path: str | Path) -> Photo:
    """Read a picture: EXIF rotation applied, colour profile converted to sRGB, 16 bits reduced to 8.

    Takes JPEG, PNG, WebP, HEIC, AVIF, TIFF, BMP, GIF and more; grayscale, palette, CMYK and transparency included.
    Of an animation or a document of several pages the first picture is used, with a note.
    Raises InputError if the file is missing, empty, damaged, not a picture, or larger than 170 megapixels.

    Example: `read_image("me.jpg").rgb.shape`
    """
    path = Path(path)
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    try:
        with _quiet(), Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise _too_large(path)
            return _to_photo(image, path)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; name a picture") from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path} is not a picture that can be read; use JPEG, PNG, WebP, HEIC or AVIF") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged or incomplete"
        raise InputError(f"cannot read the picture {path}: {reason}") from error


def write_image(path: str | Path, rgb: np.ndarray) -> None:
    """Write uint8 [H, W, 3] (or [H, W, 4] with alpha) as the kind of picture that the name says, atomically.

    Raises UsageError for an unknown suffix, OutputError if it cannot be written.
    """
    path = Path(path)
    kind = _SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise UsageError(f"cannot tell the kind of picture from {path}; end the name in {', '.join(_SUFFIXES)}")
    if kind == "JPEG" and rgb.shape[-1] == 4:
        raise OutputError(f"{path} cannot hold transparency; write .png or .webp")
    options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
    with write_atomic(path) as file:
        Image.fromarray(np.ascontiguousarray(rgb)).save(file, kind, **options)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns about large and slightly malformed pictures that are read well all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _too_large(path: Path) -> InputError:
    return InputError(f"{path} has more than {MAX_PIXELS // 10**6} megapixels; make it smaller")


def _notes(image: Image.Image, path: Path) -> tuple[str, ...]:
    """What is left out. JPEG files of phones hold more pictures too, but those are of other sizes or of depth."""
    if image.format in ("WEBP", "AVIF") and getattr(image, "n_frames", 1) > 1:
        return (f"{path.name} is animated; its first frame is used",)
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        return (f"{path.name} has several pages; the first is used",)
    return ()


def _to_photo(image: Image.Image, path: Path) -> Photo:
    profile, notes = image.info.get("icc_profile"), _notes(image, path)
    _scale_transparency(image)
    image = ImageOps.exif_transpose(image)
    image.load()
    alpha = None
    if image.has_transparency_data:
        if image.mode.startswith("I"):  # Pillow would clip the values first
            alpha = np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8)
        else:
            image = image.convert("RGBA")
            alpha = np.asarray(image.getchannel("A"))
            image = image.convert("RGB")
        if (alpha == 255).all():
            alpha = None
    elif image.mode == "P":
        image = image.convert("RGB")
    image = _to_8_bits(image)
    return Photo(rgb=np.ascontiguousarray(_to_srgb(image, profile)), alpha=alpha, path=path, notes=notes)


def _scale_transparency(image: Image.Image) -> None:
    """Bring the transparent colour of a PNG from the file's depth to that of Pillow's pixels, which Pillow forgets."""
    stated = image.info.get("transparency")
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    kind = str(tiles[0][3]) if tiles else ""
    if kind in ("L;2", "L;4") and isinstance(stated, int):
        image.info["transparency"] = stated * {"L;2": 85, "L;4": 17}[kind]
    elif kind == "RGB;16B" and isinstance(stated, tuple):
        image.info["transparency"] = tuple(value >> 8 for value in stated)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and float grey become mode L; other modes pass."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image, dtype=np.float64)
    full = 1.0 if image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(np.nan_to_num(values) * (255.0 / full) + 0.5, 0, 255).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> np.ndarray:
    if profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(image, source, _SRGB, outputMode="RGB")
            if converted is not None:
                image = converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile, or one for another number of channels, says nothing: take the values as they are
    return np.asarray(image.convert("RGB"))
