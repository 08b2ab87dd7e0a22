"""A system as an outside package ships it, complete and small: a bar over the face follows the loudness."""

from talkingface.core.spec import SystemSpec

SPEC = SystemSpec(
    name="meter",
    summary="a bar that follows the loudness (tests)",
    source=("photo", "clip"),
    driving=("audio", "video"),
    pose=("copied", "generated"),
    features=(),
    motion_space="meter1",
    latency_frames=2,
    presets=("tiny",),
    factory="meter_system.system:MeterSystem",
    config="meter_system.config:preset",
    licence="Apache-2.0",
    default_weights="meter.none",
    weights=("meter.none",),
    recipes="meter_system.recipes",
    importers={"meter": "meter_system.importing:import_meter"},
)
