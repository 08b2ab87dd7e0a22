"""A system as an outside package ships it, complete and small: a bar over the face follows the loudness."""

from talkingface.core.motion_space import Columns, MotionSpace
from talkingface.core.spec import SystemSpec

SPEC = SystemSpec(
    name="meter",
    summary="a bar that follows the loudness (tests)",
    source=("photo", "clip"),
    driving=("audio", "video"),
    poses=("still", "generated", "source", "video", "photo", "motion", "angles"),
    backgrounds=("keep", "transparent", "replace"),
    motion_space=MotionSpace(
        name="meter1",
        expression=(Columns(names=("level",), unit="loudness", most=10),),
        pose=(Columns(names=tuple("abcdef"), unit="none", most=1000),),
    ),
    latency_frames={"best": 2, "low": 2},
    presets=("tiny",),
    factory="meter_system.system:MeterSystem",
    config="meter_system.config:preset",
    options="meter_system.config:MeterOptions",
    licence="Apache-2.0",
    default_weights="meter.none",
    weights=("meter.none",),
    recipes="meter_system.recipes",
    importers={"meter": "meter_system.importing:import_meter"},
)
