"""`talkingface fit`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from talkingface.apps.cli.output import note
from talkingface.apps.cli.parser import add_options, add_output
from talkingface.core.errors import UsageError
from talkingface.core.options import FitOptions, PictureOptions

SUMMARY = "make an avatar once, animate it often"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "face", nargs="+", help="photo, video or folder of its pictures; then further photos of the person (portrait)"
    )
    add_output(parser, "avatar folder to make; unfinished work is stored in FOLDER.part", "FOLDER")
    add_options(parser, FitOptions)
    add_options(parser, PictureOptions, only=("size", "face_index"))


def run(face: list[str], output: str, **options: Any) -> None:
    """Make the avatar of the faces in the folder `output`."""
    from talkingface import api
    from talkingface.apps.progress import Progress
    from talkingface.core import weights as store
    from talkingface.core.cache import check_writable, name_beside, user_path
    from talkingface.core.work_folder import WorkFolder, folder_beside, remove_folder

    folder = user_path(output)
    if os.path.exists(folder) and not store.is_avatar(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{output} exists and is no avatar; name a new folder")
    if not os.path.exists(folder):
        check_writable(folder)
    whole = Path(os.path.abspath(folder))  # "." has no name to put anything beside
    work = name_beside(whole, ".part")
    with WorkFolder(folder_beside(whole), f"the avatar {output}"):
        with Progress():
            avatar = api.fit(*face, folder=work, **options)
        store.save_avatar(folder, avatar)
        remove_folder(work)
    notes = avatar.card.get("notes")
    for text in notes if isinstance(notes, (list, tuple)) else ():
        note(str(text))
    if isinstance(figures := avatar.card.get("held_out"), dict):
        print("held-out frames: " + ", ".join(f"{name} {value:g}" for name, value in figures.items()))
    print(f"{output}: avatar for system {avatar.system}; use it as FACE in talkingface animate")
