"""Measurements of `portrait` and of what it draws with."""

TARGETS = {
    "picture": "benchmarks.systems.portrait.picture:picture",
    "drawn": "benchmarks.systems.portrait.drawn:drawn",
    "inner-mouth": "benchmarks.systems.portrait.inner_mouth:inner_mouth",
    "outline": "benchmarks.systems.portrait.outline:outline",
    "dub": "benchmarks.systems.portrait.dub:dub",
}
