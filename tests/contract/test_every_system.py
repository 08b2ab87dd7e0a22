"""What every registered system has to do, at every small preset of each of its variants, with fresh weights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from talkingface.core import registry
from talkingface.testing import check_system

SLOW = {("headpose", "tiny_official"), ("headpose", "tiny_journal"), ("geneface", "tiny_official")}
"""Their pictures are 256 pixels wide however narrow the networks are, or marched ray by ray: half a minute each and
more."""


def _small_presets() -> Iterator[object]:
    for name in registry.system_names():
        for preset in registry.get_spec(name).presets:
            if preset.startswith("tiny"):
                marks = [pytest.mark.slow] if (name, preset) in SLOW else []
                yield pytest.param(name, preset, marks=marks, id=f"{name}-{preset}")


@pytest.mark.parametrize(("name", "preset"), [*_small_presets()])
def test_systems_keep_their_promises(name: str, preset: str) -> None:
    check_system(name, preset)


@pytest.mark.parametrize("name", registry.system_names())
def test_systems_name_what_is_used_by_default(name: str) -> None:
    spec = registry.get_spec(name)
    assert "official" in spec.presets
    assert spec.default_weights in spec.weights


@pytest.mark.gpu
@pytest.mark.parametrize("name", registry.system_names())
def test_the_gpu_agrees_with_the_cpu(name: str) -> None:
    check_system(name, "tiny", device="cuda")
