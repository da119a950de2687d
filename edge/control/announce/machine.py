"""Says in payloads what the model runs on: engine, build of a faster one, power mode and clocks."""

from dataclasses import asdict

from edge.delivery.device_state import BuildRef, EngineRef, PowerRef
from edge.scoring.engine_build import EngineBuild
from edge.scoring.open import Models
from edge.system.power import power


def engine_ref(models: Models, build: EngineBuild | None) -> EngineRef:
    """Return what runs the model, and how far the build of faster engines is."""
    progress = None if build is None else build.progress()
    engine = models.main.engine
    return EngineRef(
        runtime=engine.runtime,
        device=engine.device,
        precision=models.precision,
        build=None if progress is None else BuildRef.model_validate(asdict(progress)),
        error=None if build is None else build.error,
    )


def power_ref() -> PowerRef | None:
    """Return power mode and clocks; None where this is no Jetson."""
    found = power()
    return None if found is None else PowerRef.model_validate(asdict(found))
