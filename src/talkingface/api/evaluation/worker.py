"""A process that scores pairs: one JSON object a line in, one record a line out. Started by `evaluation.run`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from talkingface.api.evaluation.pairs import COLUMNS, Pair
from talkingface.api.evaluation.run import score_and_keep
from talkingface.core.device import configure_process


def main() -> None:
    """Score what comes on standard input until it ends."""
    import cv2

    # libraries may write to standard output: results are sent through a pipe of their own
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    cv2.setNumThreads(1)  # the processes fill the cores
    configure_process()
    for line in sys.stdin:
        job = json.loads(line)
        generated, reference, speech, source = (None if job[r] is None else Path(job[r]) for r in COLUMNS[1:])
        pair = Pair(
            name=job["name"], generated=generated, reference=reference, speech=speech, source=source,
            sound_track=job["sound_track"],
        )  # fmt: skip
        record = score_and_keep(pair, Path(job["place"]), 1)
        answers.write(json.dumps(record, allow_nan=False) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
