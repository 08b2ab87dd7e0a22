"""Settings of speech to motion, and its phones. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

PHONES = tuple(
    "pau aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh".split()
)
LIP_CLOSURES = tuple(PHONES.index(phone) for phone in ("p", "b", "m"))
PAUSE = PHONES.index("pau")


@dataclass(frozen=True, slots=True, kw_only=True)
class MouthConfig:
    """Shape of the mouth network."""

    width: int = 128
    """Channels at frame rate."""
    front: int = 96
    """Channels at column rate."""
    dilations: tuple[int, ...] = (1, 2, 4, 1, 2, 4)
    """One residual block each; together they look back 2 x their sum frames."""
    num_mouth: int = 16
    """Leading expression columns that belong to the mouth."""
    members: int = 2
    """Networks trained with different seeds whose outputs are averaged: their errors on a new voice differ."""

    @property
    def outputs(self) -> int:
        """Mouth coefficients, phone logits, and the logits of speech about to begin and of lips that meet."""
        return self.num_mouth + len(PHONES) + 2
