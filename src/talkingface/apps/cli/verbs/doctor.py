"""`talkingface doctor`."""

from __future__ import annotations

import argparse

SUMMARY = "what is installed, what works, what to do about the rest"


def add(parser: argparse.ArgumentParser) -> None:
    """It has no arguments."""


def run() -> int:
    """Print what was found; returns the exit code."""
    from talkingface.apps.doctor import doctor

    return doctor()
