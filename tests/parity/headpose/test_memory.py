"""The memory: queries, loss, retrieval, update, and its official file."""

from __future__ import annotations

import re

import torch

from parity.fixtures import load_fixture
from parity.headpose.inputs import make_bank, make_batch
from talkingface.systems.headpose.official.convert import (
    from_official,
    load_into,
    memory_from_official,
    memory_to_official,
    to_official,
)
from talkingface.systems.headpose.official.memory import QueryNet


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
    batch = make_batch(fixture)
    queries = {"query": batch["query"].requires_grad_(), "random_query": fixture.input("random_query")}
    stated = re.findall(r"for (\w+) at (?:threshold )?([\d.]+)", fixture.note(r"losses = \[(.+?)\]")[1])
    losses = [bank.loss(queries[name], batch["feature"], float(threshold)) for name, threshold in stated]
    fixture.assert_close("losses", torch.stack(losses), 1e-5)
    losses[0].backward()
    fixture.assert_close("grad_query", batch["query"].grad, 1e-5)


def test_retrieval():
    fixture = load_fixture("headpose", "memory_network")
    bank = make_bank(fixture)
    found = bank.retrieve(make_batch(fixture)["query"], fixture.outputs["topk_slot"]["shape"][1], own_only=False)
    fixture.assert_equal("topk_slot", found.slot)
    fixture.assert_equal("topk_top_index", found.index)
    fixture.assert_close("topk_feature", found.feature, 1e-5)


def test_update():
    fixture = load_fixture("headpose", "memory_network")
    before, bank = make_bank(fixture), make_bank(fixture)
    bank.update(**make_batch(fixture), noise=fixture.input("noise"))
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
