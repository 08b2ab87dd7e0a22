"""Measurements of `headpose`."""

TARGETS = {
    "avatar": "benchmarks.systems.headpose.avatar:avatar",
    "headpose": "benchmarks.systems.headpose.speed:headpose",
}
