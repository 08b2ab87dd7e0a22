"""`talkingface train`."""

from __future__ import annotations

import argparse
from typing import Any

from talkingface.apps.cli.parser import add_output
from talkingface.core.errors import UsageError

SUMMARY = "run one of a system's trainings"


def add(parser: argparse.ArgumentParser) -> None:
    """The arguments."""
    parser.add_argument(
        "recipe",
        help="portrait.clean (from data folder to weights), portrait.face (one recipe), ...; a system's name alone "
        "makes its default weights",
    )
    parser.add_argument(
        "data", nargs="?", help="data folder; for a single recipe its prepared material, see docs/training.md"
    )
    parser.add_argument("--data", dest="data_option", metavar="FOLDER", help="the same")
    add_output(parser, "run folder; an earlier run there is continued", "FOLDER")
    parser.add_argument("--steps", type=int, help="length of a single recipe's training")
    parser.add_argument("--config", metavar="PRESET|FILE.json", help="settings; default: the system's first preset")
    parser.add_argument("--minutes", type=float, help="stop after this time; the same command continues later")
    parser.add_argument("--seed", type=int, default=0, help="of first weights and data (default: 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N (default: auto)")


def run(
    recipe: str, data: str | None, data_option: str | None, output: str, steps: int | None, config: str | None,
    minutes: float | None, **options: Any,
) -> None:  # fmt: skip
    """Run a training, or every stage that leads to finished weights."""
    from talkingface import api
    from talkingface.core import registry
    from talkingface.core.cache import check_apart

    data = data or data_option
    if data is None:
        raise UsageError("name the data folder: talkingface train RECIPE DATA -o FOLDER")
    check_apart((output,), (data, config))
    if recipe in registry.system_names():
        recipe = registry.get_spec(recipe).default_weights
    if recipe in api.pipeline_names(recipe.partition(".")[0]):
        print(f"{api.make_weights(recipe, data, output)}: weights and card; name the folder in --weights to use them")
        return
    limit_s = None if minutes is None else 60 * minutes
    outcome = api.train(recipe, data, output, steps=steps, config=config, time_limit_s=limit_s, **options)
    state = "finished" if outcome.finished else "time is up; run the same command again to continue"
    print(f"{output}: step {outcome.step} of {steps}, {state}")
