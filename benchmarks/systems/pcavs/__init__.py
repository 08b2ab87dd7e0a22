"""Measurements of `pcavs`."""

TARGETS = {
    "control": "benchmarks.systems.pcavs.control:control",
    "pcavs": "benchmarks.systems.pcavs.speed:pcavs",
}
