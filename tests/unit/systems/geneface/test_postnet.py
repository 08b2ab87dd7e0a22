"""The adapter to one person and the judge: padding, losses, and that they learn against each other."""

from __future__ import annotations

import torch

from talkingface.systems.geneface.official.postnet import (
    LOSS_WEIGHTS,
    MotionDiscriminator,
    PostNet,
    adapter_losses,
    judge_losses,
)


def motion(seed: int, frames: int = 24) -> torch.Tensor:
    return torch.randn(2, frames, 204, generator=torch.Generator().manual_seed(seed))


def test_padding_stays_zero_and_is_not_seen_from_afar():
    torch.manual_seed(0)
    network, general = PostNet().eval(), motion(1)
    padded = torch.nn.functional.pad(general, (0, 0, 0, 8))
    assert (network(padded)[:, 24:] == 0).all()
    assert torch.allclose(network(padded)[:, :16], network(general)[:, :16], atol=1e-4)


def test_losses_are_least_where_nothing_is_wrong():
    general, mask = motion(1), torch.ones(2, 24)
    person = general[:1]
    fine = adapter_losses(torch.ones(48, 1), general, general, mask, person, person)
    assert all(value == 0 for value in fine.values())
    worse = adapter_losses(torch.zeros(48, 1), general + 0.1, general, mask, person + 0.5, person)
    assert (worse["adversarial"], worse["person"]) == (1, 0.25)
    assert abs(float(worse["near"]) - 204 * 0.01) < 1e-3
    assert fine.keys() | {"sync"} == LOSS_WEIGHTS.keys()
    told = judge_losses(torch.zeros(5, 1), torch.ones(5, 1))
    assert all(value == 0 for value in told.values())


def test_the_judge_learns_to_tell_and_the_adapter_to_fool_it():
    torch.manual_seed(0)
    adapter, judge = PostNet(), MotionDiscriminator().eval()
    general, person = 0.3 * motion(1), 0.3 * motion(2) + 0.5
    rate = 1e-3
    told = torch.optim.RMSprop(judge.parameters(), rate)
    for _ in range(40):
        losses = judge_losses(judge(general), judge(person))
        told.zero_grad()
        sum(losses.values(), torch.zeros(())).backward()
        told.step()
    assert judge(person).mean() > 0.8 and judge(general).mean() < 0.2
    fooled = torch.optim.RMSprop(adapter.parameters(), rate)
    for _ in range(20):
        loss = (1 - judge(adapter(general))).square().mean()
        fooled.zero_grad()
        loss.backward()
        fooled.step()
    assert judge(adapter(general)).mean() > 0.6
