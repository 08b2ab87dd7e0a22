"""Measurements of `headpose`."""

TARGETS = {
    "avatar": "benchmarks.systems.headpose.avatar:avatar",
    "avatar-speech": "benchmarks.systems.headpose.speech:avatar_speech",
    "headpose": "benchmarks.systems.headpose.speed:headpose",
}
