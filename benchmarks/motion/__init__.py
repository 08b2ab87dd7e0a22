"""Motion made from speech and from video, and the network that judges whether mouths and sound go together."""

TARGETS = {
    "mouth": "benchmarks.motion.mouth:mouth",
    "head": "benchmarks.motion.head:head",
    "silence": "benchmarks.motion.silence:silence",
    "closures": "benchmarks.motion.phones:closures",
    "rounding": "benchmarks.motion.phones:rounding",
    "noise": "benchmarks.motion.noise:noise",
    "voices": "benchmarks.motion.voices:voices",
    "languages": "benchmarks.motion.languages:languages",
    "ear": "benchmarks.motion.ear:ear",
    "average-style": "benchmarks.motion.average_style:average_style",
    "style": "benchmarks.motion.style:style",
    "drive": "benchmarks.motion.drive:drive",
    "sync": "benchmarks.motion.sync:sync",
}
