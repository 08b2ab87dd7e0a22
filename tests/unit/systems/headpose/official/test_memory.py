from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet


def make_bank(slots: int = 12) -> MemoryBank:
    return MemoryBank.make(slots, query=8, feature=6, generator=torch.Generator().manual_seed(0))


def unit(count: int, size: int, seed: int) -> torch.Tensor:
    return functional.normalize(torch.randn(count, size, generator=torch.Generator().manual_seed(seed)))


def test_a_new_bank():
    bank = make_bank()
    assert torch.allclose(bank.key.norm(dim=1), torch.ones(12))
    assert torch.allclose(bank.value.sum(1), torch.ones(12)) and bool((bank.value >= 0).all())
    assert bank.index.tolist() == [-1] * 12 and not bank.own.any() and not bank.age.any()


def test_only_what_was_written_is_retrieved_by_default():
    bank, query, feature = make_bank(), unit(2, 8, 1), unit(2, 6, 2)
    with pytest.raises(ValueError, match="0 slots"):
        bank.retrieve(query)
    with pytest.raises(ValueError, match="0 slots"):
        bank.compact()
    bank.update(query, feature, torch.tensor([7, 9]))
    found = bank.retrieve(query)
    assert torch.equal(found.feature[:, 0], feature) and found.index.tolist() == [[7], [9]]
    # a stranger's slot lies closer to this query than both written ones
    stranger = functional.normalize(bank.key[~bank.own][:1] + 0.01)
    assert int(bank.retrieve(stranger, own_only=False).index) == -1
    assert int(bank.retrieve(stranger).index) in (7, 9)
    assert torch.equal(bank.compact().retrieve(stranger).feature, bank.retrieve(stranger).feature)
    assert len(bank.compact().key) == 2
    with pytest.raises(ValueError, match="2 slots .* 3 are asked for"):
        bank.retrieve(query, 3)


def test_the_best_come_first():
    bank = make_bank()
    found = bank.retrieve(bank.key[3:4], 3, own_only=False)
    scores = (bank.key[3] * bank.key[found.slot[0]]).sum(1)
    assert int(found.slot[0, 0]) == 3 and scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_known_features_move_keys_and_new_ones_take_the_oldest_slots():
    bank = make_bank()
    query, feature = unit(1, 8, 3), unit(1, 6, 4)
    bank.update(query, feature, torch.tensor([1]), noise=torch.zeros(12))
    slot = int(bank.retrieve(query).slot)
    near = functional.normalize(query + 0.1 * unit(1, 8, 5))
    before = bank.key[slot].clone()
    bank.update(near, feature, torch.tensor([2]), noise=torch.zeros(12))
    assert torch.allclose(bank.key[slot], functional.normalize(before + near[0], dim=0))
    assert int(bank.index[slot]) == 1 and bank.age[slot] == 0 and int(bank.own.sum()) == 1
    bank.age[5] = 50
    bank.update(unit(1, 8, 6), unit(1, 6, 7), torch.tensor([3]), noise=torch.zeros(12))
    assert int(bank.index[5]) == 3 and bank.age[5] == 0 and bank.age[slot] == 1


def test_noise_is_drawn_where_none_is_given():
    bank = make_bank(200)
    torch.manual_seed(0)
    for k in range(20):
        bank.update(unit(1, 8, 10 + k), unit(1, 6, 40 + k), torch.tensor([k]))
    assert int(bank.own.sum()) == 20  # none was overwritten at once


def test_the_loss_is_zero_where_the_true_feature_leads():
    bank = make_bank()
    feature = unit(1, 6, 1)
    bank.value[4] = feature[0]
    bank.key = torch.eye(12)[:, :8].contiguous()
    bank.key[8:] = -bank.key[:4]
    assert bank.loss(bank.key[4:5], feature) == 0
    wrong = (0.8 * bank.key[5:6] + 0.6 * bank.key[4:5]).requires_grad_()
    loss = bank.loss(wrong, feature)
    assert loss.item() == pytest.approx(0.8 - 0.6 + 0.3)
    loss.backward()
    # towards the true slot's key, away from the leading wrong one
    assert wrong.grad[0, 4] == -1 and wrong.grad[0, 5] == 1


def test_state_and_shapes():
    bank = make_bank()
    again = MemoryBank(**bank.state())
    assert torch.equal(again.key, bank.key) and bank.to("cpu").state().keys() == bank.state().keys()
    with pytest.raises(ValueError, match=r"\[M\]"):
        MemoryBank(**{**bank.state(), "age": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"\[M, D\]"):
        MemoryBank(**{**bank.state(), "value": torch.zeros(3, 6)})


def test_only_the_linear_layer_of_the_query_learns():
    network = QueryNet(feature=4, width=2).train()
    assert not any(module.training for module in network.ResNet18.modules())
    before = {name: value.clone() for name, value in network.ResNet18.state_dict().items()}
    query = network(torch.rand(2, 3, 64, 64) * 2 - 1)
    assert torch.allclose(query.norm(dim=1), torch.ones(2))
    query.sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is not None] == ["Linear.weight", "Linear.bias"]
    assert all(torch.equal(value, before[name]) for name, value in network.ResNet18.state_dict().items())
