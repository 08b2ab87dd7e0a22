"""What each verb of the command line does; imported when a verb runs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from talkingface import api
from talkingface.api import Animation
from talkingface.api.animation import check_container
from talkingface.api.report import machine
from talkingface.apps.bench import TargetJob, measure, measure_targets, target_table
from talkingface.apps.evaluate import evaluate_videos, split_names
from talkingface.apps.progress import Progress
from talkingface.core import registry
from talkingface.core import weights as store
from talkingface.core.cache import check_writable, write_atomic
from talkingface.core.device import tune_allocator
from talkingface.core.errors import TalkingFaceError, UsageError
from talkingface.core.importers import importer_kinds
from talkingface.core.motion import save_motion

# mediapipe's own log lines say nothing to a user
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def _keep_inputs(output: str, *inputs: str | None) -> None:
    """Refuse to write over what is read."""
    for path in inputs:
        if path is not None and os.path.exists(path) and os.path.exists(output) and os.path.samefile(path, output):
            raise UsageError(f"{output} is an input too; name another output")


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _say_result(animation: Animation) -> None:
    figures = animation.report
    for note in figures["notes"]:
        _note(note)
    resumed = figures["frames_resumed"]
    rest = f", {resumed} of them from an earlier run" if resumed else ""
    drawn = figures["frames"] - resumed
    print(
        f"{figures['output']}: {figures['frames']} frames{rest}, made in {figures['wall_s']:.1f} s "
        f"({drawn / figures['wall_s']:.0f} frames/s)"
    )
    if weights := figures["weights"]:
        allows = f"; {weights['allows']}" if "allows" in weights else ""
        print(f"weights {weights.get('name', '')}: {weights.get('licence', 'no licence stated')}{allows}")


def _save(make: Callable[[], Animation], output: str, report: str | None, background: str) -> None:
    check_container(output, background)  # before weights are loaded and the face is looked for
    if report is not None:
        check_writable(report)
    tune_allocator()
    with Progress():
        animation = make()
        animation.save(output, report=report)
    _say_result(animation)


def animate(face: str, speech: str | None, output: str, report: str | None, **options: Any) -> None:
    """`talkingface animate`."""
    _keep_inputs(output, face, speech, options.get("drive"), options.get("pose"), options.get("background"))
    _save(lambda: api.animate(face, speech, **options), output, report, options.get("background", ""))


def render(face: str, motion: str, output: str, report: str | None, **options: Any) -> None:
    """`talkingface render`."""
    _keep_inputs(output, face, motion, options.get("speech"), options.get("background"))
    _save(lambda: api.render(face, motion, **options), output, report, options.get("background", ""))


def motion(speech: str, output: str, **options: Any) -> None:
    """`talkingface motion`."""
    _keep_inputs(output, speech, options.get("face"), options.get("pose"))
    check_writable(output)
    tune_allocator()
    with Progress():
        made = api.motion(speech, **options)
    save_motion(output, made)
    print(f"{output}: {len(made)} frames at {made.fps:g} fps in space {made.space}")


def track(video: str, output: str, preview: str | None, face_index: int | None) -> None:
    """`talkingface track`."""
    _keep_inputs(output, video, preview)
    _keep_inputs(preview or "", video)
    check_writable(output)
    tune_allocator()
    with Progress():
        found = api.track(video, face_index=face_index, preview=preview)
    found.save(output)
    for note in found.notes:
        _note(note)
    seen = (found.track.confidence > 0).mean()
    print(f"{output}: {len(found.track)} frames, the face was seen in {seen:.1%}")
    if preview is not None:
        print(f"{preview}: the points over the pictures")


def fit(face: str, output: str, size: int | str | None, face_index: int | None, **options: Any) -> None:
    """`talkingface fit`."""
    folder = Path(output)
    if folder.exists() and not store.is_avatar(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{output} exists and is no avatar; name a new folder")
    if not folder.exists():
        check_writable(folder)
    tune_allocator()
    work = folder.with_name(f"{folder.name}.part")
    with Progress():
        avatar = api.fit(face, size=size, face_index=face_index, folder=work, **options)
    store.save_avatar(output, avatar)
    shutil.rmtree(work, ignore_errors=True)
    notes = avatar.card.get("notes")
    for note in notes if isinstance(notes, (list, tuple)) else ():
        _note(str(note))
    if isinstance(figures := avatar.card.get("held_out"), dict):
        print("held-out frames: " + ", ".join(f"{name} {value:g}" for name, value in figures.items()))
    print(f"{output}: avatar for system {avatar.system}; use it as FACE in talkingface animate")


def train(
    recipe: str, data: str | None, data_option: str | None, output: str, steps: int | None, config: str | None,
    minutes: float | None, **options: Any,
) -> None:  # fmt: skip
    """`talkingface train`."""
    data = data or data_option
    if data is None:
        raise UsageError("name the data folder: talkingface train RECIPE DATA -o FOLDER")
    if recipe in registry.system_names():
        recipe = registry.get_spec(recipe).default_weights
    if recipe in api.pipeline_names(recipe.partition(".")[0]):
        print(f"{api.make_weights(recipe, data, output)}: weights and card; name the folder in --weights to use them")
        return
    if steps is None:
        raise UsageError(f"{recipe} needs --steps, the length of the training")
    limit_s = None if minutes is None else 60 * minutes
    outcome = api.train(recipe, data, output, steps=steps, config=config, time_limit_s=limit_s, **options)
    state = "finished" if outcome.finished else "time is up; the same command goes on"
    print(f"{output}: step {outcome.step} of {steps}, {state}")


def evaluate(**options: Any) -> int:
    """`talkingface evaluate`."""
    return evaluate_videos(**options)


def bench(
    what: str, report: str | None, data: str | None, limit: int | None, long: bool, sheets: str | None, **options: Any
) -> None:
    """`talkingface bench`."""
    if report is not None:
        check_writable(report)
    if what == "command":
        figures, text = _bench_command(**options)
    else:
        folders = [None if folder is None else Path(folder) for folder in (data, sheets)]
        job = TargetJob(data=folders[0], weights=options.get("weights"), limit=limit, long=long, sheets=folders[1])
        with Progress():
            figures = measure_targets(what, job)
        text = target_table(figures)
    print(text)
    if report is not None:
        with write_atomic(report, "w") as file:
            json.dump(figures, file, indent=2)


def _bench_command(
    systems: str | None, sizes: str | None, compare: str | None, pairs: int, **options: Any
) -> tuple[dict[str, Any], str]:
    """Figures and their text."""
    if (systems, sizes, compare) == (None, None, None):
        figures = measure(**options) | machine()
        return figures, json.dumps(figures, indent=2)
    from talkingface.apps import bench_systems  # loads statistics, which other verbs need not wait for

    system, size = options.pop("system", None), options.pop("size")
    load = bench_systems.Load(**options)
    if compare is not None:
        if systems is not None or sizes is not None:
            raise UsageError("--compare takes one --system and one --size, not lists")
        figures = bench_systems.compare(compare, size, pairs, load, system)
        return figures | machine(), bench_systems.compare_table(figures)
    names = [system or "portrait"] if systems is None else split_names(systems)
    try:
        chosen = [size] if sizes is None else [int(word) for word in split_names(sizes)]
    except ValueError as error:
        raise UsageError(f"--sizes are whole numbers with commas, not {sizes!r}") from error
    figures = bench_systems.measure_systems(names, chosen, load)
    return figures | machine(), bench_systems.systems_table(figures)


def systems(name: str | None) -> None:
    """`talkingface systems`."""
    if name is not None:
        for key, value in dataclasses.asdict(registry.get_spec(name)).items():
            shown = ", ".join(map(str, value)) if isinstance(value, tuple) else value
            print(f"{key.replace('_', ' '):16} {'the whole voice' if value is None else shown}")
        return
    for known in registry.system_names():
        try:
            print(f"{known:12} {registry.get_spec(known).summary}")
        except (ImportError, TalkingFaceError) as error:  # somebody's broken plug-in must not hide the others
            print(f"{known:12} cannot be used: {error}")


def weights(action: str, names: list[str], output: str | None) -> int:
    """`talkingface weights`."""
    if action == "import":
        return _import_weights(names, output)
    if output is not None:
        raise UsageError("--output goes with: talkingface weights import")
    if len(names) > 1:
        raise UsageError(f"{action} takes one name, not {len(names)}")
    name = names[0] if names else None
    if action == "show":
        if name is None:
            raise UsageError("name the weights to show; see: talkingface weights list")
        print(json.dumps(store.read_card(store.find_weights(name).folder), indent=2, ensure_ascii=False))
        return 0
    refs = [store.find_weights(name)] if name is not None else store.list_weights()
    if not refs:
        print("no weights found; set TALKINGFACE_WEIGHTS to a folder of weights", file=sys.stderr)
    worst = 0
    for ref in refs:
        try:
            card = store.load_weights(ref).card if action == "verify" else store.read_card(ref.folder)
            print(f"{ref.name:20} {'intact' if action == 'verify' else card.get('licence', '')}  {ref.folder}")
        except TalkingFaceError as error:
            print(f"error: {error}", file=sys.stderr)
            worst = error.exit_code
    return worst


def _import_weights(names: list[str], output: str | None) -> int:
    if len(names) < 2:
        raise UsageError(f"name a kind and its files: talkingface weights import KIND FILE...; {_kinds()}")
    ref = api.import_weights(names[0], names[1:], folder=output)
    card = store.read_card(ref.folder)
    print(f"{ref.folder}: {card['name']}; {card.get('licence', 'no licence stated')}")
    for note in card.get("notes", []):
        print(note)
    return 0


def _kinds() -> str:
    return f"kinds: {', '.join(importer_kinds())}"
