"""Phone alignment against a sentence, and GRID's sentence codes."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.phones import align_phones, grid_sentence


def test_grid_codes() -> None:
    assert grid_sentence("bgwh8n") == "bin green with h. eight now"
    assert grid_sentence("lbbc2a") == "lay blue by c. two again"
    with pytest.raises(ValueError, match="no GRID sentence code"):
        grid_sentence("xgwh8n")


def test_noise_has_no_path_through_words_and_does_not_break_the_next_call() -> None:
    pytest.importorskip("pocketsphinx")
    noise = np.random.default_rng(0).normal(0, 0.05, 8000).astype(np.float32)
    for _ in range(2):
        spans = align_phones(noise, "place white with")
        assert all(a.end_s <= b.start_s + 1e-9 for a, b in zip(spans, spans[1:], strict=False))
