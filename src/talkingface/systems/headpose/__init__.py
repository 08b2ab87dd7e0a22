"""The `headpose` system. Importing this costs nothing: the factory is imported on first use."""

from talkingface.core.spec import SystemSpec
from talkingface.face.mesh478_space import MESH478

SPEC = SystemSpec(
    name="headpose",
    summary="an avatar of one person, trained from a short video, with that person's own head motion",
    source=("clip",),
    driving=("audio", "video"),
    poses=("still", "generated", "source", "video", "motion", "angles"),
    pose_origins=("first", "mean", "none"),
    backgrounds=("keep", "transparent", "replace"),
    motion_space=MESH478,
    latency_frames=None,
    presets=("compact", "official", "journal", "tiny", "tiny_official", "tiny_journal"),
    factory="talkingface.systems.headpose.system:HeadposeSystem",
    config="talkingface.systems.headpose.config:preset",
    licence="Apache-2.0 (code); weights: see their cards",
    paper="Yi, Ye, Zhang, Bao, Liu: Audio-driven Talking Face Video Generation with Learning-based Personalized Head "
    "Pose, arXiv 2002.10137 (2020); Yi et al.: Predicting Personalized Head Movement From Short Video and Speech "
    "Signal, IEEE TMM (2022)",
    default_weights="headpose.general",
    weights=("headpose.general",),
    recipes="talkingface.systems.headpose.recipes",
    importers={"headpose": "talkingface.systems.headpose.official.importing:import_headpose"},
)
