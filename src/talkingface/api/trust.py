"""What files say about themselves: for apps and Python users."""

from __future__ import annotations

from talkingface.trust.verify import Verification, verify

__all__ = ["Verification", "verify"]
