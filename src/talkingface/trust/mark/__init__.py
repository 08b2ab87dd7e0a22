"""The mark: an invisible pattern in the pictures that names the job that made them, and the search for it."""

from talkingface.trust.mark.code import VERSION, mark_payload
from talkingface.trust.mark.find import MarkFinding, find_mark
from talkingface.trust.mark.frames import mark_frames
from talkingface.trust.mark.marker import Marker
from talkingface.trust.mark.pattern import ALGORITHM, PUBLIC_KEY, mark_key

__all__ = [
    "ALGORITHM",
    "PUBLIC_KEY",
    "VERSION",
    "MarkFinding",
    "Marker",
    "find_mark",
    "mark_frames",
    "mark_key",
    "mark_payload",
]
