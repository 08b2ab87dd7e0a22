"""Measurements of `geneface`."""

TARGETS = {
    "geneface-motion": "benchmarks.systems.geneface.motion:motion_figures",
    "geneface-speed": "benchmarks.systems.geneface.speed:geneface_speed",
}
