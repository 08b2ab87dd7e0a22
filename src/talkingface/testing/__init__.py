"""For authors of systems: `check_system` tests what the rest of the toolkit relies on."""

from talkingface.testing.contract import check_system

__all__ = ["check_system"]
