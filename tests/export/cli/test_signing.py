"""``edge-export keygen``, ``sign`` and ``verify`` as they are typed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import Run

from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys


@pytest.mark.parametrize("command", ["keygen", "sign", "verify"])
def test_help_has_an_example(edge_export: Run, command: str) -> None:
    assert f"Example: edge-export {command}" in edge_export(command, "--help").out
    assert re.search(rf"\b{command}\b", edge_export("--help").out)


def test_the_whole_way_from_a_key_to_a_verified_bundle(
    edge_export: Run, bundle: Path, tmp_path: Path
) -> None:
    made = edge_export("keygen", tmp_path / "site.key")
    [public] = read_keys([tmp_path / "site.key.pub"])
    assert made.out.startswith(f"key {public.id}: {tmp_path}/site.key, to be kept secret; ")
    before = edge_export("verify", bundle)
    assert (before.code, before.out.strip().endswith(", not signed")) == (0, True)
    signed = edge_export("sign", bundle, "--key", tmp_path / "site.key")
    assert (signed.code, f"signed by {public.id}" in signed.out) == (0, True)
    verified = edge_export("verify", bundle, "--key", public.path)
    assert verified.out.startswith(f"{bundle}: tiny, 6 files (0.0 MB) as the manifest says, hash ")
    assert verified.out.strip().endswith(f"signed by {public}")
    unverified = edge_export("verify", bundle)
    assert unverified.out.strip().endswith(
        f"signature by {public.id} not verified, as no key was given"
    )


def test_all_of_it_as_json(edge_export: Run, bundle: Path, tmp_path: Path) -> None:
    key = tmp_path / "site.key"
    made = json.loads(edge_export("keygen", key, "--json").out)
    assert made == {"id": made["id"], "private": str(key), "public": f"{key}.pub"}
    digest = open_bundle(bundle).hash
    signed = json.loads(edge_export("sign", bundle, "--key", key, "--json").out)
    assert signed == {"path": str(bundle), "hash": digest, "signed": made["id"]}
    size = sum(file.size for file in open_bundle(bundle).manifest.files)
    facts = {"path": str(bundle), "name": "tiny", "hash": digest, "files": 6, "bytes": size}
    verified = json.loads(edge_export("verify", bundle, "--key", made["public"], "--json").out)
    assert verified == facts | {"signed": made["id"], "verified": True}
    assert json.loads(edge_export("verify", bundle, "--json").out)["verified"] is False
    (bundle / "SIGNATURE").unlink()
    assert json.loads(edge_export("verify", bundle, "--json").out)["signed"] is None


def test_what_is_wrong_is_reported_with_an_exit_code(
    edge_export: Run, bundle: Path, key: Path, tmp_path: Path
) -> None:
    def assert_told(code: int, words: str, *arguments: object) -> None:
        outcome = edge_export(*arguments)
        assert (outcome.code, words in outcome.err) == (code, True), outcome.err
        assert outcome.out == ""

    public = f"{key}.pub"
    assert_told(2, "expected no such file yet", "keygen", key)
    assert_told(2, "found public key; name the file that", "sign", bundle, "--key", public)
    assert_told(2, "No such file", "sign", bundle, "--key", tmp_path / "absent")
    assert_told(3, "expected a bundle", "sign", tmp_path, "--key", key)
    assert_told(2, "found a private key", "verify", bundle, "--key", key)
    assert_told(3, "found none; sign the bundle with", "verify", bundle, "--key", public)
    assert_told(3, "expected a bundle", "inspect", tmp_path)
    assert_told(3, "expected a bundle", "diff", bundle, tmp_path)
    axes = bundle / "axes.json"
    axes.write_bytes(axes.read_bytes().replace(b"red", b"rad"))
    assert_told(3, "axes.json: expected SHA-256", "verify", bundle)
    assert_told(3, "axes.json: expected SHA-256", "sign", bundle, "--key", key)


def test_the_passphrase_comes_from_the_environment(
    edge_export: Run, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "locked.key"
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "correct horse")
    assert edge_export("keygen", key).code == 0
    assert edge_export("sign", bundle, "--key", key).code == 0
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "battery staple")
    wrong = edge_export("sign", bundle, "--key", key)
    assert (wrong.code, "another passphrase" in wrong.err) == (2, True)
    assert "battery staple" not in wrong.err
    monkeypatch.setenv("EDGE_SIGNING_PASSPHRASE", "")
    empty = edge_export("keygen", tmp_path / "open.key")
    assert (empty.code, "found an empty one" in empty.err) == (2, True)
    assert not (tmp_path / "open.key").exists()


ABSENT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "cryptography":
            raise ModuleNotFoundError("No module named 'cryptography'", name=name)
sys.meta_path.insert(0, Absent())
from export.cli.main import main
for command in (["verify", sys.argv[1]], ["keygen", sys.argv[2]]):
    sys.argv = ["edge-export", *command]
    try:
        main()
    except SystemExit as ended:
        print("exit code", ended.code)
"""


def test_without_the_extra_it_says_what_to_install_and_the_rest_works(
    bundle: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, bundle, tmp_path / "site.key"],
        capture_output=True,
        text=True,
        check=True,
    )
    verified, *codes = done.stdout.splitlines()
    assert verified.endswith(", not signed")
    assert codes == ["exit code 0", "exit code 2"]
    assert "pip install 'camera-edge-runtime[signing]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "site.key").exists()
