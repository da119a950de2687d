"""A full-size distillation that is killed and goes on."""

import json
from pathlib import Path

from export.distill.studies import full_size


def test_a_killed_run_that_says_why_ends_the_full_size_run(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    (tmp_path / "last" / "progress.json").write_text(json.dumps({"standing": {"done": True}}))
    assert full_size._done(tmp_path)
    assert not full_size._done(tmp_path / "nothing")
