"""Inputs that show a face, recognised by content and read once: a photo, a clip or an avatar."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np

from talkingface.core import weights as store
from talkingface.core.cache import user_path
from talkingface.core.errors import ArgumentError, InputError
from talkingface.core.picture_folder import is_picture_folder, picture_files
from talkingface.core.types import MAX_PIXELS, Avatar, Clip, Photo, described

Source = Photo | Clip | Avatar


def open_source(face: str | Path | np.ndarray | Source) -> Source:
    """The photo, clip or avatar that `face` is; what is one already passes.

    The content of a file decides, not its name. A folder of numbered pictures is a clip, one with a single picture is
    that photo, one that `save_avatar` wrote (or its name in the store) is an avatar. An array is a picture uint8
    [H, W, 3] (RGB), [H, W, 4] (with opacity) or [H, W] (grey). Raises InputError for anything else, WeightsError for a
    damaged avatar.

    Example: `open_source("me.jpg").rgb.shape`
    """
    if isinstance(face, Avatar):
        return face
    if isinstance(face, str | Path):
        path = existing_media(face)
        if path.is_dir() and store.is_avatar(path):
            return store.load_avatar(path)
    return open_media(face)


def open_media(source: str | Path | np.ndarray | Photo | Clip) -> Photo | Clip:
    """`open_source` for what must have pictures of its own: an avatar is refused like anything else."""
    if isinstance(source, Photo | Clip):
        return source
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if not isinstance(source, str | Path):
        raise ArgumentError(f"pictures come as a path or an array uint8 [height, width, 3], not as {described(source)}")
    found = pictures_in(source)
    if found is None:
        raise InputError(f"{source} holds no picture; give a photo or a video")
    return found


def pictures_in(file: str | Path) -> Photo | Clip | None:
    """The photo or clip in a file or folder; None for sound alone. Raises InputError for anything else."""
    from talkingface.video.image import is_image, read_image
    from talkingface.video.read import probe

    path = existing_media(file)
    if path.is_dir() and not is_picture_folder(path):
        raise InputError(
            f"{path} is {'an avatar' if store.is_avatar(path) else 'a folder without pictures, not an avatar'}; "
            "give a photo, a video or a folder of numbered pictures"
        )
    if is_image(path):
        return read_image(path)
    info = probe(path)
    return Clip(path=path, info=info) if info.has_video else None


def open_clip(source: str | Path | Photo | Clip, role: str = "this") -> Clip:
    """`open_media` for what must move; `role` ("the driver") begins the sentence that refuses a photo (InputError)."""
    opened = open_media(source)
    if isinstance(opened, Photo):
        name = opened.path or "the picture"
        raise InputError(
            f"{name} is a photo, which holds no motion; {role} must be a video or a folder of its pictures"
        )
    return opened


def existing(path: str | Path) -> Path:
    """`path` as a Path; the name of an avatar in the store is its folder. Raises InputError if nothing is there."""
    found = user_path(path)
    try:
        found.stat()
    except (OSError, ValueError) as error:
        if stored := store.find_avatar(str(path)):
            return stored
        if isinstance(error, PermissionError):
            raise InputError(f"{path} may not be read; change its permissions or those of its folder") from error
        raise InputError(f"there is no file {path}; check the name") from error
    if not (found.is_file() or found.is_dir()):
        raise InputError(f"{path} is a pipe or device; only speech may come from one, write the rest to a file first")
    return found


def is_pipe(path: Path) -> bool:
    """Whether what is at `path` can be read only once: a named pipe, or one that a shell hands over as a file."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def existing_media(path: str | Path) -> Path:
    """`existing`, but a folder with a single picture in it, which is no avatar, is that picture."""
    found = existing(path)
    pictures = picture_files(found)
    return pictures[0] if len(pictures) == 1 and not store.is_avatar(found) else found


def _from_array(array: np.ndarray) -> Photo:
    """The picture in an array, which is copied: the caller may use the array again."""
    array = np.asarray(array)  # subclasses such as matrices and masked arrays behave otherwise
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4) or not array.size:
        raise InputError(
            "the picture must be an array uint8 [height, width, 3] of RGB values from 0 to 255, or [height, width, 4] "
            f"with opacity, or grey [height, width], not {described(array)}"
        )
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise InputError(f"the picture has more than {MAX_PIXELS // 10**6} megapixels; make it smaller")
    if channels == 1:
        return Photo(rgb=np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2))
    alpha = np.array(array[..., 3], order="C") if channels == 4 else None
    opaque = alpha is None or bool((alpha == 255).all())
    return Photo(rgb=np.array(array[..., :3], order="C"), alpha=None if opaque else alpha)
