from __future__ import annotations

import pytest
import torch
from torch import nn

from talkingface.core.errors import WeightsError
from talkingface.systems.headpose.motion.atcnet import AtcNet
from talkingface.systems.headpose.motion.head_motion_generator import BehaviourEncoder, MotionDecoder
from talkingface.systems.headpose.official.convert import (
    from_official,
    load_into,
    memory_from_official,
    memory_to_official,
    to_official,
)
from talkingface.systems.headpose.official.memory import MemoryBank, QueryNet
from talkingface.systems.headpose.official.networks import Discriminator, UNetAC, UNetAdaIN

PARTS = {
    "atcnet": lambda: AtcNet(channels=(1, 1, 1, 1, 1), hidden_fc=2, hidden=2),
    "generator": lambda: UNetAdaIN(ngf=1, feature=2, style_hidden=2),
    "discriminator": lambda: Discriminator(4, 1),
    "query": lambda: QueryNet(feature=3, width=1),
    "journal_generator": lambda: UNetAC(ngf=1),
    "behaviour": lambda: BehaviourEncoder(hidden=2, widths=(2, 2, 2, 2)),
    "motion": lambda: MotionDecoder(hidden=2, widths=(2, 2, 2)),
}


@pytest.mark.parametrize("part", PARTS)
def test_there_and_back(part):
    torch.manual_seed(0)
    source, target = PARTS[part](), PARTS[part]()
    load_into(target, from_official(part, to_official(part, source.state_dict())), "a file")
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name


def test_generators_without_duplicates_load_too():
    source = PARTS["generator"]()
    official = to_official("generator", source.state_dict())
    without = {name: tensor for name, tensor in official.items() if ".body.1." not in name}
    load_into(PARTS["generator"](), from_official("generator", without), "a file")


def test_any_of_the_querys_names_does():
    official = to_official("query", PARTS["query"]().state_dict())
    short = {name: tensor for name, tensor in official.items() if name.startswith(("ResNet18.model.", "Linear."))}
    assert set(from_official("query", short)) == set(from_official("query", official))


def test_other_states_are_refused_in_one_line():
    with pytest.raises(WeightsError, match="no official state of atcnet"):
        from_official("atcnet", {"weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="no official state of generator"):
        from_official("generator", nn.Linear(1, 1))
    with pytest.raises(WeightsError, match="'junk' is no tensor"):
        from_official("discriminator", {**PARTS["discriminator"]().state_dict(), "junk": 3})
    with pytest.raises(ValueError, match="there are atcnet"):
        from_official("audio", {})


def test_states_that_do_not_fit_are_refused_in_one_line():
    network = Discriminator(4, 1)
    state = network.state_dict()
    with pytest.raises(WeightsError, match="judge.pth holds no tensor 'model.0.bias'; 1 are missing"):
        load_into(network, {name: t for name, t in state.items() if name != "model.0.bias"}, "judge.pth")
    with pytest.raises(WeightsError, match="which this network does not have"):
        load_into(network, {**state, "extra": torch.zeros(1)}, "judge.pth")
    with pytest.raises(WeightsError, match="configured with other sizes"):
        load_into(Discriminator(4, 2), state, "judge.pth")


def test_memory_files():
    bank = MemoryBank.make(5, query=3, feature=2)
    bank.index[1] = 4
    query = PARTS["query"]().state_dict()
    file = memory_to_official(query, bank)
    assert set(file) == {"mem_model", "mem_key", "mem_value", "mem_age", "mem_index"}
    state, read = memory_from_official(file)
    assert set(state) == set(query) and read.own.tolist() == [False, True, False, False, False]
    with pytest.raises(WeightsError, match="'mem_value'"):
        memory_from_official({name: value for name, value in file.items() if name != "mem_value"})
    with pytest.raises(WeightsError, match="official memory"):
        memory_from_official({**file, "mem_age": torch.zeros(2)})
    with pytest.raises(WeightsError, match="official state of query"):
        memory_from_official({name: value for name, value in file.items() if name != "mem_model"})
