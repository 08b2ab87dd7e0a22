"""Measurements of `geneface`."""

TARGETS = {
    "geneface-animate": "benchmarks.systems.geneface.animate:geneface_animate",
    "geneface-motion": "benchmarks.systems.geneface.motion:motion_figures",
    "geneface-picture": "benchmarks.systems.geneface.picture:geneface_picture",
    "geneface-speed": "benchmarks.systems.geneface.speed:geneface_speed",
    "geneface-views": "benchmarks.systems.geneface.views:geneface_views",
}
