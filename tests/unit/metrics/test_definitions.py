"""The table of figures is complete enough to print."""

from __future__ import annotations

import re

from talkingface.metrics.definitions import DEFINITIONS, VERSIONS


def test_every_figure_says_what_it_is() -> None:
    assert VERSIONS.keys() == DEFINITIONS.keys()
    for key, definition in DEFINITIONS.items():
        assert re.fullmatch(r"[a-z]+(\.[a-z0-9_]+)+", key)
        assert definition.version >= 1
        assert definition.meaning and "\n" not in definition.meaning and not definition.meaning.endswith(".")


def test_figures_of_three_places_and_three_measures_are_listed() -> None:
    places = {key for key in DEFINITIONS if key.startswith(("picture.ssim.", "picture.psnr."))}
    assert len(places) == 6
    assert DEFINITIONS["picture.psnr.face"].better == "higher" and DEFINITIONS["picture.psnr.face"].unit == "dB"
    assert {
        "mouth.correlation.gap",
        "mouth.correlation_lag0.jaw",
        "mouth.lag.width",
        "sync.offset_frames",
    } <= VERSIONS.keys()
