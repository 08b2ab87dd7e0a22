"""Seeded parameters, also where several threads make networks at once."""

from __future__ import annotations

import threading

import torch

from talkingface.nn.seeding import seeded


def test_numbers_outside_go_on_as_if_nothing_had_been() -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    first = torch.rand(2)
    with seeded(1):
        torch.rand(100)
    assert torch.equal(torch.cat([first, torch.rand(2)]), expected)


def test_each_thread_gets_the_numbers_that_it_gets_alone() -> None:
    def draw(seed: int) -> torch.Tensor:
        with seeded(seed):
            return torch.cat([torch.rand(1) for _ in range(200)])

    alone = {seed: draw(seed) for seed in range(4)}
    together: dict[int, torch.Tensor] = {}
    threads = [threading.Thread(target=lambda s=seed: together.__setitem__(s, draw(s))) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(alone[seed], together[seed]) for seed in alone)
