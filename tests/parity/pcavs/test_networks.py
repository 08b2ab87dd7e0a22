"""V, E, A_sync, A and D of the published system, in their published sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from parity.fixtures import Fixture, load_fixture
from parity.weights import empty, load_into
from talkingface.systems.pcavs.official.networks.discriminator import Discriminator
from talkingface.systems.pcavs.official.networks.identity import IdentityNet
from talkingface.systems.pcavs.official.networks.nonidentity import NonIdentityNet
from talkingface.systems.pcavs.official.networks.speech import VOICE, SpeechNet, voice_net

CLASSIFIER_1000 = r"model\.fc\.(weight|bias)"


@contextmanager
def outputs_of(network: nn.Module, **places: str) -> Iterator[dict[str, Tensor]]:
    """Within the block: what the modules named by `places` gave last."""
    found: dict[str, Tensor] = {}

    def note(name: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            found[name] = output

        return hook

    hooks = [network.get_submodule(place).register_forward_hook(note(name)) for name, place in places.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def test_identity_net():
    recorded = load_fixture("pcavs", "netV")
    config = recorded.config
    network = empty(lambda: IdentityNet(people=config["num_classes"], blocks=tuple(config["blocks"])))
    load_into(network, recorded.weights(), CLASSIFIER_1000)
    pictures = recorded.input("images")
    pictures = pictures.unflatten(0, (-1, config["num_inputs"]))
    places = {f"after_layer{k}": f"model.layer{k}" for k in range(1, 5)}
    with outputs_of(network, **places, bn1="model.bn1") as found:
        vector, small = network(pictures)
    recorded.check("identity_vector", vector)
    recorded.check("identity_map", small)
    recorded.check("class_scores", network.scores(vector))
    recorded.check("after_maxpool", torch.max_pool2d(torch.relu(found["bn1"]), 3, stride=2, padding=1))
    for name in places:
        recorded.check(name, found[name])


@torch.no_grad()
def test_nonidentity_net():
    recorded = load_fixture("pcavs", "netE")
    config = recorded.config
    network = empty(
        lambda: NonIdentityNet(
            pose=config["pose_dim"],
            classes=config["num_classes"],
            clip_len=config["clip_len"],
            crop_px=config["crop_size"],
            depth=config["hourglass_depth"],
        )
    )
    load_into(network, recorded.weights())
    places = {f"after_{name}": f"model.{name}" for name in ("conv1", "conv2", "conv4", "m0", "l0", "conv6")}
    with outputs_of(network, **places) as found:
        code = network(recorded.input("images"))
    found["after_conv6"] = found["after_conv6"].relu()  # recorded after a ReLU that works in place
    for name in places:
        recorded.check(name, found[name])
    recorded.check("noid_feature", code)
    clips = code.unflatten(0, (-1, config["num_clips"])).mean(1)
    recorded.check("class_scores", network.classifier(clips))
    mouth, head = network.mouth(code), network.to_headpose(code)
    recorded.check("mouth_feature", mouth)
    recorded.check("mouth_embed", network.mouth_embed(mouth))
    recorded.check("headpose_feature", head)
    recorded.check("pose_code", network.pose(code))
    by_clip = (len(code) // config["clip_len"], -1)
    recorded.check("mouth_fc", network.mouth_fc(mouth.reshape(by_clip)))
    recorded.check("headpose_fc", network.headpose_fc(network.pose(code).reshape(by_clip)))


def make_speech_net(recorded: Fixture) -> SpeechNet:
    config = recorded.config
    network = empty(
        lambda: SpeechNet(
            outputs=config["nOut"],
            height=config["n_mels"] * config["n_mel_T"],
            people=config["num_classes"],
            widths=tuple(config["num_filters"]),
            blocks=tuple(config["layers"]),
        )
    )
    load_into(network, recorded.weights())
    return network


@torch.no_grad()
def test_speech_net():
    recorded = load_fixture("pcavs", "netA_sync")
    network = make_speech_net(recorded)
    with outputs_of(network, after_layer4="model.layer4", attention="model.attention") as found:
        code = network(recorded.input("mel"))
    recorded.check("feature", code)
    recorded.check("class_scores", network.scores(code))
    for name in found:
        recorded.check(name, found[name])


@torch.no_grad()
def test_voice_net():
    recorded = load_fixture("pcavs", "netA")
    network = make_speech_net(recorded)
    published = {name: tuple(value.shape) for name, value in empty(voice_net).state_dict().items()}
    sizes = {"fc.weight", "fc.bias"}  # by the number of people
    if recorded.config["nOut"] == VOICE:
        assert all(recorded.state[name] == shape for name, shape in published.items() if name not in sizes)
    vector = network(recorded.input("mel"))
    recorded.check("feature", vector)
    recorded.check("class_scores", network.scores(vector))


@torch.no_grad()
def test_discriminator():
    recorded = load_fixture("pcavs", "netD")
    config = recorded.config
    network = empty(lambda: Discriminator(width=config["ndf"], layers=config["n_layers_D"], scales=config["num_D"]))
    load_into(network, recorded.weights())
    pictures = recorded.input("images")
    for scale, found in enumerate(network(pictures)):
        for stage, values in enumerate(found):
            recorded.check(f"scale{scale}_stage{stage}", values)
    trained = network.train()(pictures)
    recorded.check("train_scale0_stage4", trained[0][4])
    for scale, found in enumerate(trained):
        recorded.check(f"train_scale{scale}_pred", found[-1])
    state = network.state_dict()
    for name in recorded.outputs:
        if name.startswith("after_train_forward."):
            recorded.check(name, state[name.removeprefix("after_train_forward.")])
