"""For those who write a system: `check_system` asks of it what the rest of the toolkit relies on."""

from talkingface.testing.contract import check_system

__all__ = ["check_system"]
