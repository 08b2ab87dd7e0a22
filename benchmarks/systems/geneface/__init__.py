"""Measurements of `geneface`."""

TARGETS = {
    "geneface-speed": "benchmarks.systems.geneface.speed:geneface_speed",
}
