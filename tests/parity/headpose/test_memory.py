"""The memory: queries, loss, retrieval, update, and its official file."""

from __future__ import annotations

import numpy as np
import torch

from parity.fixtures import Fixture, load_fixture
from talkingface.systems.headpose.official.convert import (
    from_official,
    load_into,
    memory_from_official,
    memory_to_official,
    to_official,
)
from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet


def unit(rows: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


def make_bank(fixture: Fixture) -> MemoryBank:
    slots = fixture.config["mem_size"]
    return MemoryBank(
        key=unit(fixture.draw("key")),
        value=unit(fixture.draw("value")),
        age=torch.from_numpy(np.floor(200 * fixture.draw("age")).astype(np.float32)),
        index=torch.arange(slots),
        own=torch.zeros(slots, dtype=torch.bool),
    )


def make_batch(fixture: Fixture, bank: MemoryBank) -> dict[str, torch.Tensor]:
    near = fixture.draw("query")
    count, slots = len(near), len(bank.key)
    at = [(13 * k + 5) % slots for k in range(count)]
    value_at = [slot if k % 2 == 0 else (slot + 7) % slots for k, slot in enumerate(at)]
    return {
        "query": unit(bank.key.numpy()[at] + 0.03 * near),
        "feature": unit(bank.value.numpy()[value_at] + 0.004 * fixture.draw("identity")),
        "index": 1000 + torch.arange(count),
    }


@torch.no_grad()
def test_query():
    fixture = load_fixture("headpose", "memory_network")
    network = QueryNet(feature=fixture.config["spatial_feat_dim"]).eval()
    load_into(network, from_official("query", fixture.weights()), fixture.name)
    # the recorded input is random numbers in the place of normalised pixels
    pooled = network.ResNet18(fixture.input("image"))
    fixture.assert_close("resnet_feature", pooled, 1e-5)
    fixture.assert_close("image_query", network.query(pooled), 1e-5)


def test_loss():
    fixture = load_fixture("headpose", "memory_network")
    bank = make_bank(fixture)
    batch = make_batch(fixture, bank)
    query, threshold = batch["query"].requires_grad_(), fixture.config["iden_thres"]
    random_query = unit(fixture.draw("random_query"))
    losses = [bank.loss(query, batch["feature"], threshold)]
    losses += [bank.loss(random_query, batch["feature"], limit) for limit in (threshold, 0.02)]
    fixture.assert_close("losses", torch.stack(losses), 1e-5)
    losses[0].backward()
    fixture.assert_close("grad_query", query.grad, 1e-5)


def test_retrieval():
    fixture = load_fixture("headpose", "memory_network")
    bank = make_bank(fixture)
    found = bank.retrieve(make_batch(fixture, bank)["query"], 3, own_only=False)
    fixture.assert_equal("topk_slot", found.slot)
    fixture.assert_equal("topk_top_index", found.index)
    fixture.assert_close("topk_feature", found.feature, 1e-5)


def test_update():
    fixture = load_fixture("headpose", "memory_network")
    before, bank = make_bank(fixture), make_bank(fixture)
    noise = 8 * fixture.draw("noise") - 4
    bank.update(**make_batch(fixture, bank), noise=torch.from_numpy(noise).float())
    changed = torch.nonzero((bank.key != before.key).any(1)).flatten()
    fixture.assert_equal("changed_slots", changed)
    fixture.assert_close("changed_keys", bank.key[changed], 1e-5)
    rewritten = torch.nonzero((bank.value != before.value).any(1)).flatten()
    fixture.assert_equal("changed_value_slots", rewritten)
    fixture.assert_close("changed_values", bank.value[rewritten], 1e-5)
    fixture.assert_equal("age_after", bank.age)
    fixture.assert_equal("top_index_after", bank.index)
    assert torch.equal(torch.nonzero(bank.own).flatten(), changed)


def test_official_file():
    fixture = load_fixture("headpose", "memory_network")
    official = fixture.weights()
    bank = make_bank(fixture)
    file = {"mem_model": official, "mem_key": bank.key, "mem_value": bank.value}
    file |= {"mem_age": bank.age, "mem_index": bank.index.float()}
    state, read = memory_from_official(file)
    assert torch.equal(read.key, bank.key) and torch.equal(read.index, bank.index) and bool(read.own.all())
    back = memory_to_official(state, read)
    assert list(back["mem_model"]) == list(official)
    for name, tensor in official.items():
        if ".fc." not in name:
            assert torch.equal(back["mem_model"][name], tensor), name
    assert torch.equal(to_official("query", state)["body.1.weight"], official["Linear.weight"])
