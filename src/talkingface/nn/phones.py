"""The phones that speech networks tell apart. Standard library only."""

from __future__ import annotations

PHONES = tuple(
    "pau aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh".split()
)
"""ARPABET without stress, and "pau" for silence."""
PAUSE = PHONES.index("pau")
LIP_CLOSURES = tuple(PHONES.index(phone) for phone in ("p", "b", "m"))
LIP_ON_TEETH = tuple(PHONES.index(phone) for phone in ("f", "v"))
