"""The `pcavs` system. Importing this costs nothing: the factory is imported on first use."""

from talkingface.core.motion_space import Columns, MotionSpace
from talkingface.core.spec import SystemSpec
from talkingface.face.mesh478_space import MESH478

CODES = MotionSpace(
    name="pcavs",
    expression=(Columns(unit="mouth code less that of silence", most=1000),),
    pose=(Columns(unit="pose code less that of the face's picture", most=1000),),
    blink=False,
)
"""The motion of the published networks."""

SPEC = SystemSpec(
    name="pcavs",
    summary="any face, any voice, the pose of any video, joined by codes of mouth and pose",
    source=("photo", "clip"),
    driving=("audio", "video"),
    poses=("still", "generated", "source", "video", "photo", "motion", "angles"),
    pose_origins=("none", "first", "mean"),
    backgrounds=("keep", "transparent", "replace"),
    motion_space=MESH478,
    other_spaces=(CODES,),
    latency_frames=None,
    presets=("compact", "official", "tiny", "tiny_official"),
    factory="talkingface.systems.pcavs.system:PcavsSystem",
    config="talkingface.systems.pcavs.config:preset",
    licence="Apache-2.0 (code); weights: see their cards",
    paper="Zhou, Sun, Wu, Loy, Wang, Liu: Pose-Controllable Talking Face Generation by Implicitly Modularized "
    "Audio-Visual Representation, CVPR 2021, arXiv 2104.11116",
    default_crop="head",
    default_weights="pcavs.compact",
    weights=("pcavs.compact",),
    recipes="talkingface.systems.pcavs.recipes",
    importers={"pcavs": "talkingface.systems.pcavs.official.convert:import_pcavs"},
)
