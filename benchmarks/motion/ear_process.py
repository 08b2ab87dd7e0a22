"""What `bench --what ear` runs in a process of its own: `python -m benchmarks.motion.ear_process SECONDS DELAY WEIGHTS`

Imports nothing but what speech to motion needs, because starting is measured too. Prints JSON: processor seconds from
the start of the process to the first motion (`start_s`), those of it from a system that is loaded to that motion
(`speech_s`), and how many times faster than real time motion is made then (`times`), and the speech encoder alone hears
(`encoder_times`).
"""

from __future__ import annotations

import json
import sys
import time


def main(seconds: float, delay: str, weights: str) -> dict[str, float]:
    """Make motion twice: for a moment of speech, then for `seconds`."""
    import numpy as np

    from talkingface import api
    from talkingface.audio.read import read_audio
    from talkingface.core.samples import sample
    from talkingface.core.types import Controls

    rate_hz = 16000
    controls = Controls(delay=delay)  # type: ignore[arg-type]
    samples = read_audio(sample("speech"), rate_hz).samples[0]
    system = api.load("portrait", weights=weights or None)
    loaded_s = time.process_time()
    next(iter(system.motion_from_audio(None, iter([samples[: 2 * rate_hz]]), controls)))  # type: ignore[arg-type]
    started_s = time.process_time()
    from talkingface.audio.speech_encoder import SpeechEncoder

    speech = np.resize(samples, round(seconds * rate_hz))
    for _ in system.motion_from_audio(None, iter([speech]), controls):  # type: ignore[arg-type]
        pass
    moved_s = time.process_time()
    SpeechEncoder.load().features(speech, delay)
    return {
        "start_s": round(started_s, 3),
        "speech_s": round(started_s - loaded_s, 3),
        "times": round(seconds / (moved_s - started_s), 1),
        "encoder_times": round(seconds / (time.process_time() - moved_s), 1),
    }


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), sys.argv[2], sys.argv[3])))
