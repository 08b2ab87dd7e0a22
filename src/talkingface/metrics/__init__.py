"""What is measured, a file each."""

IMPORTERS = {
    "arcface": "talkingface.metrics.arcface:import_arcface",
    "inception": "talkingface.metrics.inception:import_inception",
    "lpips": "talkingface.metrics.lpips:import_lpips",
    "syncnet": "talkingface.metrics.syncnet:import_syncnet",
}
"""`weights import`: kind -> "module:function", as in `SystemSpec.importers`."""
