"""The `geneface` system. Importing this costs nothing: the factory is imported on first use."""

from talkingface.core.spec import SystemSpec
from talkingface.face.mesh478_space import MESH478

SPEC = SystemSpec(
    name="geneface",
    summary="a three-dimensional avatar of one person, trained from a short video, that any voice drives",
    source=("clip",),
    driving=("audio", "video"),
    poses=("still", "generated", "source", "video", "motion", "angles"),
    pose_origins=("first", "mean", "none"),
    viewable=True,
    backgrounds=("keep", "transparent", "replace"),
    motion_space=MESH478,
    latency_frames={"best": 9, "low": 2},
    presets=("compact", "official", "tiny", "tiny_official"),
    factory="talkingface.systems.geneface.system:GenefaceSystem",
    config="talkingface.systems.geneface.config:preset",
    options="talkingface.systems.geneface.config:GenefaceOptions",
    licence="Apache-2.0 (code); weights: see their cards",
    paper="Ye, Jiang, Ren, Liu, He, Zhao: GeneFace: Generalized and High-Fidelity Audio-Driven 3D Talking Face "
    "Synthesis, ICLR 2023, arXiv 2301.13430; release 1.1 with the renderer of RAD-NeRF, arXiv 2211.12368",
    default_weights="geneface.general-research",
    weights=("geneface.general", "geneface.general-research"),
    recipes="talkingface.systems.geneface.recipes",
    importers={"geneface": "talkingface.systems.geneface.official.importing:import_geneface"},
)
