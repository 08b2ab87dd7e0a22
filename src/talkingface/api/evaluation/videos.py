"""`evaluate`: generated videos scored the same way every time, against real ones, against their sound, or alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from talkingface.api.evaluation.pairs import find_pairs
from talkingface.api.evaluation.report import make_report, write_json
from talkingface.api.evaluation.run import run_pairs
from talkingface.core.cache import check_apart, check_writable, name_beside
from talkingface.core.device import configure_process
from talkingface.core.types import check_number
from talkingface.core.work_folder import WorkFolder


def evaluate(
    generated: str | Path,
    output: str | Path,
    *,
    reference: str | Path | None = None,
    speech: str | Path | None = None,
    source: str | Path | None = None,
    sound_track: int | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Score `generated`, a video, a folder of videos or a manifest (.csv), and write the report to `output` (.json).

    `reference`: the real video of the same moments; `speech`: the sound that drove the face (default: the video's
    own), `sound_track` which track of it; `source`: the photo it was made from. Given a folder of videos they may be
    folders too: files of one name belong together. Returns the report (see docs/how-to/evaluate.md); pairs that cannot
    be scored are in it with the reason. Finished clips are kept in a folder beside `output`, so a stopped run goes on.
    Several clips are scored in `workers` processes (None: one a core).

    Raises InputError, UsageError, OutputError for what makes the whole run pointless.
    """
    configure_process()
    if workers is not None:
        check_number("workers", workers, 1, whole=True)
    check_apart((output,), (generated, reference, speech, source))
    check_writable(output)
    pairs = [replace(pair, sound_track=sound_track) for pair in find_pairs(generated, reference, speech, source)]
    with work_folder(output) as work:
        report = make_report(run_pairs(pairs, work.path, workers), work=work.path)
        write_json(output, report)
    return report


def work_folder(output: str | Path) -> WorkFolder:
    """Where a run keeps what it has finished: a folder beside its report. Raises OutputError, and UsageError if another
    run is making this report."""
    return WorkFolder(name_beside(Path(output).with_suffix(""), "-work"), f"the report {output}")
