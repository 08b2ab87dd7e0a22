"""The `portrait` system. Importing this costs nothing: the factory is imported on first use."""

from talkingface.core.spec import SystemSpec
from talkingface.face.mesh478_space import MESH478

SPEC = SystemSpec(
    name="portrait",
    summary="a photo's own pixels, moved by speech; no training, no GPU, no download",
    source=("photo", "clip"),
    driving=("audio", "video"),
    poses=("still", "generated", "source", "video", "motion", "angles"),
    pose_origins=("first", "mean", "none"),
    more_photos=True,
    backgrounds=("keep", "transparent", "replace"),
    clip_backgrounds=("keep",),
    motion_space=MESH478,
    latency_frames={"best": 24, "low": 2},
    presets=("official", "tiny", "warp"),
    factory="talkingface.systems.portrait.system:PortraitSystem",
    config="talkingface.systems.portrait.config:preset",
    licence="Apache-2.0 (code); weights: see their cards",
    default_weights="portrait.research",
    weights=("portrait.clean", "portrait.research"),
    baselines={"bare warp": "warp"},
    recipes="talkingface.systems.portrait.recipes",
)
