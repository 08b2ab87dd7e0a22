"""Motion made from speech and from video, and the network that judges whether mouths and sound go together."""

TARGETS = {
    "mouth": "benchmarks.motion.speech:mouth",
    "head": "benchmarks.motion.speech:head",
    "silence": "benchmarks.motion.speech:silence",
    "closures": "benchmarks.motion.speech:closures",
    "drive": "benchmarks.motion.drive:drive",
    "sync": "benchmarks.motion.sync:sync",
}
