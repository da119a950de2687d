"""Measures what the activity gate lets through and what it saves.

Run ``python -m benchmarks.studies.gate``: about 90 files of 60 to 90 s are encoded once and kept.
Each goes through demuxing, gate and decoding as a camera's stream does, in its own time but as fast
as possible. The result is JSON; a plot needs matplotlib.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

from benchmarks.studies.gate.plot import plot
from benchmarks.studies.gate.scenes import FPS, HALVES, StagedScene, make
from benchmarks.studies.gate.still import idle_cost
from benchmarks.studies.gate.trial import is_seen, let_through
from benchmarks.studies.gate.variants import VARIANTS, encode

Row = dict[str, Any]
_FOOTAGE: Final = Path("../shared/footage")


def _row(half: str, scene: str, variant: str, footage: StagedScene, path: Path) -> Row:
    passage = let_through(path, FPS, footage.events)
    complete = let_through(path, FPS, footage.events, gated=False)
    seen = [is_seen(event, passage) for event in footage.events]
    quiet_s = sum(passage.states.values())
    return {
        "half": half,
        "scene": scene,
        "variant": variant,
        "ordinary": VARIANTS[variant].ordinary,
        "seen": sum(seen),
        "events": len(seen),
        "missed": sorted(
            {e.text for e, was_seen in zip(footage.events, seen, strict=True) if not was_seen}
        ),
        "open_quiet": None
        if not quiet_s
        else round(1 - passage.states.get("still", 0.0) / quiet_s, 3),
        "decoded": round(passage.decoded, 3),
        "decoded_quiet": round(passage.decoded_quiet, 3),
        "decoded_without": round(complete.decoded, 3),
        "cores": round(passage.cores, 5),
        "cores_without": round(complete.cores, 5),
        "heartbeats": sum(heartbeat for _, heartbeat in passage.samples),
    }


def _sum(rows: list[Row]) -> Row:
    ordinary = [row for row in rows if row["ordinary"]]
    return {
        "seen": sum(row["seen"] for row in rows),
        "events": sum(row["events"] for row in rows),
        "share": round(sum(row["seen"] for row in rows) / sum(row["events"] for row in rows), 4),
        "decoded_ordinary": _mean(ordinary, "decoded"),
        "decoded_quiet_ordinary": _mean(ordinary, "decoded_quiet"),
        "decoded_all": _mean(rows, "decoded"),
    }


def _mean(rows: list[Row], name: str) -> float | None:
    return round(sum(row[name] for row in rows) / len(rows), 3) if rows else None


def main() -> None:
    """Encode what is missing, measure all, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--footage", type=Path, default=_FOOTAGE, help="folder of labelled clips")
    parser.add_argument("--folder", type=Path, default=Path("gate-study"), help="encoded files")
    parser.add_argument("--variant", action="append", choices=VARIANTS, help="default all")
    parser.add_argument("--scene", action="append", help="default all")
    parser.add_argument("--plot", type=Path, help="picture to write")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for half, scenes in HALVES.items():
        for scene in scenes:
            if options.scene and scene not in options.scene:
                continue
            footage = make(scene, options.footage)
            for variant in options.variant or VARIANTS:
                path = options.folder / f"{scene}.{variant.replace(' ', '-')}.mp4"
                encode(footage.pictures, VARIANTS[variant], path)
                rows.append(_row(half, scene, variant, footage, path))
    result = {
        "halves": {
            half: _sum([row for row in rows if row["half"] == half])
            for half in HALVES
            if any(row["half"] == half for row in rows)
        },
        "idle": idle_cost(options.footage, options.folder),
        "rows": rows,
    }
    if options.plot:
        plot(options.plot, rows)
    print(json.dumps(result, indent=1))  # noqa: T201 (the result)


if __name__ == "__main__":
    main()
