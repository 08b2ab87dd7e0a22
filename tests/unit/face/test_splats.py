"""Drawing of splats against a dense picture of the same formula, and its gradients."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from talkingface.face.splats import draw_band
from talkingface.person.splats.model import DrawSplats

H, W, N = 20, 24, 12


def splats(seed: int = 0) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    centre = rng.uniform(4, 18, (1, N, 2))
    factor = np.tril(rng.normal(size=(N, 2, 2))) + 2.5 * np.eye(2)
    conic = np.linalg.inv(factor @ factor.transpose(0, 2, 1))
    conic = np.stack([conic[:, 0, 0], conic[:, 0, 1], conic[:, 1, 1]], 1)[None]
    values = centre, conic, rng.uniform(0.2, 0.9, (1, N)), rng.random((1, N, 3)), rng.random((1, 3, H, W))
    return [torch.tensor(v.astype(np.float32), requires_grad=True) for v in values]


def dense(centre, conic, opacity, colour, behind):
    y, x = torch.meshgrid(torch.arange(H) + 0.5, torch.arange(W) + 0.5, indexing="ij")
    left, picture = torch.ones(H, W), torch.zeros(3, H, W)
    for k in range(N):
        dx, dy = x - centre[0, k, 0], y - centre[0, k, 1]
        q = conic[0, k, 0] * dx**2 + 2 * conic[0, k, 1] * dx * dy + conic[0, k, 2] * dy**2
        alpha = opacity[0, k] * (1 - q / 4.5).clamp(min=0) ** 2
        picture = picture + left * alpha * colour[0, k][:, None, None]
        left = left * (1 - alpha)
    return (picture + left * behind[0])[None]


def drawn(parts):
    order = [np.arange(N, dtype=np.int32)]
    everywhere = [np.full((N, 2), 60, np.float32)]
    return DrawSplats.apply(*parts, everywhere, order)


def test_draws_what_the_formula_says():
    parts = splats()
    assert torch.allclose(drawn(parts), dense(*parts), atol=2e-5)


@pytest.mark.parametrize("part", range(5))
def test_gradients_are_those_of_the_formula(part):
    weight = torch.from_numpy(np.random.default_rng(9).normal(size=(1, 3, H, W)).astype(np.float32))
    ours, theirs = splats(), splats()
    (drawn(ours) * weight).sum().backward()
    (dense(*theirs) * weight).sum().backward()
    wanted = theirs[part].grad
    assert torch.allclose(ours[part].grad, wanted, atol=2e-3 * float(wanted.abs().max()))


def test_bands_make_the_same_picture_as_one():
    parts = [v.detach().numpy()[0] for v in splats()[:4]]
    order, radius = np.arange(N, dtype=np.int32), np.full((N, 2), 8, np.float32)
    pictures = []
    for cuts in ([0, H], [0, 7, H]):
        left, picture = np.ones((H, W), np.float32), np.zeros((3, H, W), np.float32)
        for first, last in pairwise(cuts):
            draw_band(order, *parts, radius, left, picture, first, last, np.float32(0))
        pictures.append(picture)
    assert np.array_equal(*pictures)
