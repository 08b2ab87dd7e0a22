"""Faces: who is refused, how steady results are, how well a person is fitted in 3D."""

TARGETS = {
    "robustness": "benchmarks.faces.robustness:robustness",
    "fit3d": "benchmarks.faces.fit3d:fit3d",
    "tracker": "benchmarks.faces.tracker:tracker",
    "matte": "benchmarks.faces.matte:matte",
}
