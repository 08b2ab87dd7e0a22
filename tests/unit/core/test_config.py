"""Configs on disk are strict."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from talkingface.core import config as configs
from talkingface.core.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Optim:
    lr: float = field(default=1e-3, metadata={"was": "rate"})
    kind: Literal["adam", "sgd"] = "adam"


@dataclass(frozen=True, kw_only=True)
class Settings:
    widths: tuple[int, ...] = (8, 16)
    size: tuple[int, int] = (96, 80)
    optim: Optim = field(default_factory=Optim)
    stages: tuple[Optim, ...] = ()
    weights: dict[str, float] = field(default_factory=dict, metadata={"keys": {"old": "l1"}})
    name: str | None = None
    fast: bool = field(default=False, metadata={"was": "quick"})
    best: Optim | None = field(default=None, metadata={"was": "top"})

    def __post_init__(self) -> None:
        if not self.widths:
            raise ValueError("widths must not be empty")


def test_round_trip(tmp_path: Path) -> None:
    settings = Settings(
        widths=(1, 2, 3), stages=(Optim(lr=0.5), Optim(kind="sgd")), weights={"l1": 1.0}, name="ü", fast=True
    )
    configs.save_config(tmp_path / "c.json", settings)
    assert configs.load_config(tmp_path / "c.json", Settings) == settings


def test_missing_keys_take_defaults() -> None:
    assert configs.from_dict(Settings, {"optim": {"lr": 1}}) == Settings(optim=Optim(lr=1.0))


def test_a_key_of_an_earlier_version_is_understood() -> None:
    old = {"quick": True, "weights": {"old": 2.0, "l2": 1.0}, "top": {"rate": 0.5}}
    found = configs.from_dict(Settings, configs.upgrade(old, Settings))
    assert found == Settings(fast=True, weights={"l1": 2.0, "l2": 1.0}, best=Optim(lr=0.5))
    with pytest.raises(UsageError, match=r"unknown key config\.kwick"):
        configs.from_dict(Settings, configs.upgrade({"kwick": True}, Settings))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"optim": {"lrr": 1}}, r"unknown key config\.optim\.lrr; did you mean lr"),
        ({"stages": [{}, {"kindd": 1}]}, r"config\.stages\[1\]\.kindd"),
        ({"optim": {"kind": "adamw"}}, r"config\.optim\.kind must be one of 'adam', 'sgd'"),
        ({"optim": {"lr": "fast"}}, r"config\.optim\.lr must be float, not text"),
        ({"fast": 1}, r"config\.fast must be bool, not a whole number"),
        ({"widths": [1, 2.5]}, r"config\.widths\[1\] must be int"),
        ({"widths": [True]}, r"config\.widths\[0\] must be int, not true or false"),
        ({"size": [1]}, r"config\.size must have 2 items"),
        ({"weights": {"l1": None}}, r"config\.weights\.l1 must be float, not null"),
        ({"widths": []}, "widths must not be empty"),
        ({"name": 3}, r"config\.name must be str"),
        ({"optim": 3}, r"config\.optim must be an object"),
    ],
)  # fmt: skip
def test_faults_name_the_full_path(data: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        configs.from_dict(Settings, data)


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": NaN}', '{"a": Infinity}', '{"fast": true, "fast": false}', "[" * 100_000]
)
def test_bad_json_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match="c.json is not valid JSON") as caught:
        configs.load_config(tmp_path / "c.json", Settings)
    assert "\n" not in str(caught.value)


def test_newer_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"format_version": 99}')
    with pytest.raises(UsageError, match="upgrade talkingface"):
        configs.load_config(tmp_path / "c.json", Settings)
    with pytest.raises(InputError, match="cannot read"):
        configs.load_config(tmp_path / "missing.json", Settings)
