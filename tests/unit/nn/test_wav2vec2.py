"""HuBERT and wav2vec 2.0 beside numbers that transformers 4.57 gives for a small network with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parity.rule import draw_tensor, philox
from talkingface.nn.wav2vec2 import FIELD, HOP, Wav2Vec2, Wav2Vec2Config, wav2vec2_config, wav2vec2_state

SMALL = Wav2Vec2Config(channels=24, width=128, layers=2, heads=2, hidden=96, place_kernel=16, place_groups=4, letters=5)
ROWS = [[-0.1398, -2.51461, -0.66372], [-0.75707, -2.25839, -0.24168], [-0.13985, -2.02473, 0.22451]]
LETTERS = [[1.27098, 0.39116, -1.11445, 0.54431, -2.52339], [0.12136, 0.81068, 0.09585, 1.97282, -2.96684]]


def checkpoint() -> dict[str, torch.Tensor]:
    """Weights by the rule of `parity.rule`, under the names of the model hub."""
    shapes = {name: tuple(value.shape) for name, value in Wav2Vec2(SMALL).state_dict().items()}
    names = {name: name if name.startswith("lm_head") else f"wav2vec2.{name}" for name in shapes}
    return {theirs: torch.from_numpy(draw_tensor(theirs, shapes[ours], 1)) for ours, theirs in names.items()}


def wave(count: int = 2000) -> torch.Tensor:
    return torch.from_numpy(philox(1, 1).standard_normal((1, count)).astype(np.float32))


@torch.no_grad()
def test_rows_and_letters():
    state = wav2vec2_state(checkpoint())
    assert wav2vec2_config(state) == SMALL
    network = Wav2Vec2(SMALL).eval()
    network.load_state_dict(state)
    rows, letters = network(wave()), network.letters(wave())
    assert rows.shape == (1, (2000 - FIELD) // HOP + 1, SMALL.width) and letters.shape == (1, 6, 5)
    assert torch.allclose(rows[0, [0, 2, 4], :3], torch.tensor(ROWS), atol=1e-4)
    assert torch.allclose(letters[0, [0, 4]], torch.tensor(LETTERS), atol=1e-4)


def test_both_spellings_and_what_is_neither():
    old = checkpoint()
    new = {
        name.replace("conv.weight_g", "conv.parametrizations.weight.original0").replace(
            "conv.weight_v", "conv.parametrizations.weight.original1"
        ): value
        for name, value in old.items()
    } | {"wav2vec2.masked_spec_embed": torch.zeros(SMALL.width)}
    assert new.keys() != old.keys()
    first, second = wav2vec2_state(old), wav2vec2_state(new)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(ValueError, match="no HuBERT"):
        wav2vec2_state({"weight": torch.zeros(1)})
    base = {name: value for name, value in old.items() if "conv_layers.1.layer_norm" not in name}
    with pytest.raises(ValueError, match="base form"):
        wav2vec2_state(base)


def test_the_large_form_has_its_published_size():
    with torch.device("meta"):
        network = Wav2Vec2()
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6) == 315
