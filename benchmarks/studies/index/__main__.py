"""Measures the cost and the recall of the local index at full size.

Run ``python -m benchmarks.studies.index``. The cameras are synthetic (``world``). The found moments
are compared with the margins of the float vectors before quantisation.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from benchmarks.studies.index.build import TRUTH, append_cost, build, seal_cost
from benchmarks.studies.index.searches import measure_searches


def _sizes(folder: Path) -> Iterator[tuple[str, int]]:
    for name in ("rows", "codes"):
        yield name, sum(path.stat().st_size for path in folder.rglob(name)) // 1_000_000


def main() -> None:
    """Build the index if its folder has none, measure it, and print the result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--limit", type=int, default=20, help="moments of a page")
    parser.add_argument("--folder", type=Path, default=Path("index-benchmark"))
    options = parser.parse_args()
    folder: Path = options.folder / f"{options.vectors}x{options.dim}"
    if not (folder / TRUTH).exists():
        shutil.rmtree(folder, ignore_errors=True)
        build(folder, options.vectors, options.dim)
    result = {
        "vectors": options.vectors,
        "dim": options.dim,
        "megabytes": dict(_sizes(folder)),
        "append_us": {
            f"in batches of {batch}": round(1e6 * append_cost(folder / "t", options.dim, batch))
            for batch in (16, 256)
        },
        "seal_s": round(seal_cost(options.dim), 3),
        **measure_searches(folder, options.dim, options.limit),
    }
    print(json.dumps(result, indent=2))  # noqa: T201 (the result)


if __name__ == "__main__":
    main()
