"""Sound for the sync expert: its loudness is gone, its times are right."""

from __future__ import annotations

import numpy as np
import pytest

from talkingface.audio.sync_mel import SILENCE, centred_columns, sync_mel
from voices import make_voice


@pytest.mark.parametrize("gain", [0.05, 0.5, 4.0])
def test_loudness_does_not_matter(gain):
    voice = make_voice(2.0)
    plain, other = sync_mel(voice, 50), sync_mel(gain * voice, 50)
    assert plain is not None and other is not None
    np.testing.assert_allclose(plain, other, atol=2e-3)


def test_a_click_lies_in_the_column_of_its_time():
    samples = np.zeros(16000, np.float32)
    samples[8000] = 1
    assert int(centred_columns(samples).max(axis=1).argmax()) == 50


def test_length_and_silence():
    values = sync_mel(make_voice(1.0), 40)
    assert values is not None and values.shape == (160, 80)
    assert (values[110:] == SILENCE).all(), "beyond the end of the sound"
    assert values.min() >= SILENCE and values.max() <= 2.0
    assert sync_mel(np.zeros(16000, np.float32), 25) is None
    assert sync_mel(np.zeros(0, np.float32), 25) is None
