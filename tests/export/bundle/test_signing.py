"""Keys and signatures as files: what is written, what is left alone, what survives a failure."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tiny_bundle import tiny_bundle

from edge.errors import ConfigError, ModelError
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import read_keys
from export.bundle.signing import generate, read_private_key, sign


@pytest.fixture
def key(tmp_path: Path) -> Path:
    generate(tmp_path / "site.key")
    return tmp_path / "site.key"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle(tmp_path / "bundle").path


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# Keys


def test_only_the_owner_reads_the_private_key(tmp_path: Path, usual_umask: None) -> None:
    public = generate(tmp_path / "site.key")
    assert mode(tmp_path / "site.key") == 0o600
    assert mode(public.path) == 0o644
    assert public.path == tmp_path / "site.key.pub"
    assert read_keys([public.path]) == (public,)


def test_every_key_is_another_one(tmp_path: Path) -> None:
    assert generate(tmp_path / "a").raw != generate(tmp_path / "b").raw


@pytest.mark.parametrize("there", ["site.key", "site.key.pub"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str, kind: str) -> None:
    if kind == "link":
        (tmp_path / there).symlink_to(tmp_path / "nowhere yet")
    else:
        (tmp_path / there).write_text("precious")
    before = {path.name: path.is_symlink() or path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=f"{there}: expected no such file yet"):
        generate(tmp_path / "site.key")
    after = {path.name: path.is_symlink() or path.read_text() for path in tmp_path.iterdir()}
    assert after == before


def test_a_place_where_no_key_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected to write a key there, found: No such file"):
        generate(tmp_path / "absent" / "site.key")


def test_a_full_disk_leaves_no_half_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, []

    def second_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", second_fails)
    with pytest.raises(ConfigError, match=r"site\.key: .* found: No space left"):
        generate(tmp_path / "site.key")
    assert list(tmp_path.iterdir()) == []


def test_a_passphrase_encrypts_the_private_key(tmp_path: Path, bundle: Path) -> None:
    path = tmp_path / "site.key"
    public = generate(path, b"correct horse")
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    with pytest.raises(ConfigError, match="expected its passphrase in the variable EDGE_SIGNING"):
        read_private_key(path)
    with pytest.raises(ConfigError, match="or another passphrase in EDGE_SIGNING_PASSPHRASE"):
        read_private_key(path, b"battery staple")
    sign(bundle, read_private_key(path, b"correct horse"), path)
    signed = open_bundle(bundle, [public]).signed
    assert signed is not None
    assert signed.key == public


def test_a_passphrase_that_a_key_does_not_need_is_no_mistake(key: Path) -> None:
    assert read_private_key(key, b"unused").public_key() == read_private_key(key).public_key()


def rsa_key() -> bytes:
    key = rsa.generate_private_key(65537, 1024)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def openssh_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (rsa_key, "expected an Ed25519 key, found RSA"),
        (openssh_key, "found openssh private key"),
        (lambda: b"", "found something else"),
        (lambda: b"-----BEGIN PUBLIC KEY-----\n", "found public key; .* without .pub"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", "found: "),
    ],
    ids=["RSA", "OpenSSH", "empty", "public", "damaged"],
)
def test_what_is_no_private_key(tmp_path: Path, make: Callable[..., Any], found: str) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(make())
    with pytest.raises(ConfigError, match=rf"site\.key: .*{found}"):
        read_private_key(path)


def test_a_private_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"found: No such file.* make one with `edge-export key"):
        read_private_key(tmp_path / "site.key")


# Signatures


def test_a_bundle_keeps_its_hash_when_it_is_signed(bundle: Path, key: Path) -> None:
    before = open_bundle(bundle).hash
    assert sign(bundle, read_private_key(key), key).hash == before
    assert [path.name for path in bundle.parent.iterdir() if path.name.startswith(".")] == []


def test_signing_again_replaces_the_signature(bundle: Path, key: Path, tmp_path: Path) -> None:
    first, second = read_keys([Path(f"{key}.pub")])[0], generate(tmp_path / "new.key")
    sign(bundle, read_private_key(key), key)
    open_bundle(bundle, [first])
    sign(bundle, read_private_key(tmp_path / "new.key"), tmp_path / "new.key")
    open_bundle(bundle, [second])
    with pytest.raises(ModelError, match="found one by"):
        open_bundle(bundle, [first])


def test_the_daemon_may_read_it_where_it_may_read_the_manifest(
    bundle: Path, key: Path, usual_umask: None
) -> None:
    (bundle / "manifest.json").chmod(0o640)
    sign(bundle, read_private_key(key), key)
    assert mode(bundle / "SIGNATURE") == 0o640


def test_through_a_link_the_bundle_itself_is_signed(
    bundle: Path, key: Path, tmp_path: Path
) -> None:
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "current").symlink_to(bundle)
    sign(tmp_path / "links" / "current", read_private_key(key), key)
    assert (bundle / "SIGNATURE").is_file()


def test_a_damaged_bundle_is_not_signed(bundle: Path, key: Path) -> None:
    axes = bundle / "axes.json"
    axes.write_bytes(axes.read_bytes().replace(b"red", b"rad"))
    with pytest.raises(ModelError, match=r"axes\.json: expected SHA-256"):
        sign(bundle, read_private_key(key), key)
    assert not (bundle / "SIGNATURE").exists()


def test_a_manifest_that_changes_while_it_is_signed(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = bundle / "manifest.json"

    def change(*_: object) -> None:
        manifest.write_text(manifest.read_text().replace("Apache-2.0", "Apache-3.0"))

    monkeypatch.setattr("edge.model.bundle.read.Bundle.verify", change)
    with pytest.raises(ModelError, match=r"manifest\.json changed while it was signed"):
        sign(bundle, read_private_key(key), key)
    assert not (bundle / "SIGNATURE").exists()


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_failure_leaves_the_old_signature_and_no_rubbish(
    bundle: Path, key: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    sign(bundle, read_private_key(key), key)
    before = {path.name for path in bundle.parent.iterdir()}, (bundle / "SIGNATURE").read_bytes()
    generate(bundle.parent / "new.key")

    def full_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    owner: Any = os if fails == "fsync" else Path
    monkeypatch.setattr(owner, fails, full_disk)
    with pytest.raises(ModelError, match="SIGNATURE: expected to write it, found: No space left"):
        sign(bundle, read_private_key(bundle.parent / "new.key"), key)
    names = {path.name for path in bundle.parent.iterdir()} - {"new.key", "new.key.pub"}
    assert (names, (bundle / "SIGNATURE").read_bytes()) == before
    open_bundle(bundle, read_keys([Path(f"{key}.pub")])).verify()
