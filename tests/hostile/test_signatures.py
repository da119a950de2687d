"""Every way a signature or a key can be wrong, each beside the same bundle rightly signed."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import naive_ed25519 as naive
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from known import known
from tiny_bundle import tiny_bundle

from edge.errors import ConfigError, ModelError
from edge.model.bundle import ed25519
from edge.model.bundle.read import open_bundle
from edge.model.bundle.signature import (
    _SMALL_ORDER,
    PublicKey,
    check_signature,
    format_signature,
    key_id,
    parse_signature,
    read_keys,
    signed_bytes,
)
from export.bundle.signing import generate, read_private_key, sign

HERE = Path("SIGNATURE")
SEED, OTHER_SEED = bytes(32), bytes([1] * 32)
KEY, OTHER = (PublicKey(naive.public(seed), Path("site.pub")) for seed in (SEED, OTHER_SEED))
MANIFEST = b'{"schema": "edge-bundle/2"}\n'
SOUND = format_signature(KEY.id, naive.sign(SEED, signed_bytes(MANIFEST)))


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A private key's file and its public half's."""
    path = tmp_path_factory.mktemp("keys") / "site.key"
    return path, generate(path).path


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, signer: tuple[Path, Path]) -> Path:
    path = tiny_bundle(tmp_path_factory.mktemp("signed") / "bundle").path
    sign(path, read_private_key(signer[0]), signer[0])
    return path


@pytest.fixture
def bundle(original: Path, tmp_path: Path, signer: tuple[Path, Path]) -> Path:
    """A signed copy to break; the control is that it opens before."""
    copy = tmp_path / "bundle"
    shutil.copytree(original, copy)
    open_bundle(copy, read_keys([signer[1]])).verify()
    return copy


def refused(bundle: Path, public: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        open_bundle(bundle, read_keys([public]))


# What is signed, against an independent implementation


def test_the_library_signs_as_the_rfc_does() -> None:
    """RFC 8032, 7.1, test 2."""
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert naive.public(seed).hex() == public
    assert naive.sign(seed, b"\x72").hex() == signature
    assert ed25519.verifies(bytes.fromhex(public), bytes.fromhex(signature), b"\x72")
    assert not ed25519.verifies(bytes.fromhex(public), bytes.fromhex(signature), b"\x73")


def test_a_signature_is_what_the_document_says(bundle: Path, signer: tuple[Path, Path]) -> None:
    """Made again from docs/bundle-format.md alone: Ed25519 is deterministic."""
    seed = read_private_key(signer[0]).private_bytes_raw()
    manifest = (bundle / "manifest.json").read_bytes()
    name = hashlib.sha256(naive.public(seed)).hexdigest()[:16]
    value = naive.sign(seed, b"edge-bundle signature 1\n" + manifest)
    text = f"edge-bundle-signature/1\nkey {name}\ned25519 {base64.b64encode(value).decode()}\n"
    assert (bundle / "SIGNATURE").read_text() == text


def test_a_signature_of_the_bare_manifest_is_none_of_the_bundle() -> None:
    """What the same key signed for another purpose."""
    signed = check_signature(HERE, MANIFEST, SOUND, [KEY])
    assert signed is not None
    assert signed.key == KEY
    bare = format_signature(KEY.id, naive.sign(SEED, MANIFEST))
    with pytest.raises(ModelError, match="does not fit"):
        check_signature(HERE, MANIFEST, bare, [KEY])


# Who signed


def test_a_bundle_without_signature(bundle: Path, signer: tuple[Path, Path]) -> None:
    (bundle / "SIGNATURE").unlink()
    refused(bundle, signer[1], r"SIGNATURE: expected a signature by [0-9a-f]{16} \(.*site\.key\.")
    assert open_bundle(bundle).signed is None  # the control: without keys it is as good as any


def test_a_signature_by_another_key(bundle: Path, tmp_path: Path) -> None:
    other = generate(tmp_path / "other.key")
    by = open_bundle(bundle).signed
    assert by is not None
    assert by.key is None
    refused(bundle, other.path, f"expected a signature by {other.id} .*found one by {by.key_id}")


def test_any_one_of_the_keys_will_do(
    bundle: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    other = generate(tmp_path / "other.key")
    signed = open_bundle(bundle, read_keys([other.path, signer[1]])).signed
    assert signed is not None
    assert signed.key is not None
    assert signed.key.path == signer[1]
    (bundle / "SIGNATURE").unlink()
    with pytest.raises(ModelError, match=f"expected a signature by one of {other.id} .*, "):
        open_bundle(bundle, read_keys([other.path, signer[1]]))


def test_a_signature_that_names_a_trusted_key_and_is_by_another() -> None:
    forged = format_signature(KEY.id, naive.sign(OTHER_SEED, signed_bytes(MANIFEST)))
    with pytest.raises(ModelError, match="does not fit"):
        check_signature(HERE, MANIFEST, forged, [KEY, OTHER])


def test_of_two_keys_with_one_id_both_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.model.bundle.signature.key_id", lambda raw, same=KEY.id: same)
    assert known(check_signature(HERE, MANIFEST, SOUND, [OTHER, KEY])).key == KEY
    with pytest.raises(ModelError, match="does not fit"):
        check_signature(HERE, MANIFEST, SOUND, [OTHER])


def test_one_letter_of_the_manifest_changed(bundle: Path, signer: tuple[Path, Path]) -> None:
    manifest = bundle / "manifest.json"
    manifest.write_text(manifest.read_text().replace("Apache-2.0", "Apache-3.0"))
    open_bundle(bundle).verify()  # the control: every hash is right
    refused(bundle, signer[1], "SIGNATURE: expected a signature by .* does not fit")


def test_another_bundles_manifest_and_files(
    bundle: Path, tmp_path: Path, signer: tuple[Path, Path]
) -> None:
    shutil.copytree(bundle, tmp_path / "other")
    manifest = json.loads((bundle / "manifest.json").read_bytes()) | {"name": "other"}
    (tmp_path / "other" / "manifest.json").write_text(json.dumps(manifest))
    sign(tmp_path / "other", read_private_key(signer[0]), signer[0])
    open_bundle(tmp_path / "other", read_keys([signer[1]]))  # the control
    shutil.copy(bundle / "SIGNATURE", tmp_path / "other" / "SIGNATURE")
    refused(tmp_path / "other", signer[1], "does not fit")


def test_nothing_in_the_manifest_is_looked_at_before_its_signature(
    bundle: Path, signer: tuple[Path, Path]
) -> None:
    (bundle / "manifest.json").write_bytes(b"[" * 100_000)
    refused(bundle, signer[1], "does not fit")


def test_a_file_changed_under_a_right_signature(bundle: Path, signer: tuple[Path, Path]) -> None:
    axes = bundle / "axes.json"
    axes.write_bytes(axes.read_bytes().replace(b"red", b"rad"))
    opened = open_bundle(bundle, read_keys([signer[1]]))
    with pytest.raises(ModelError, match=r"axes\.json: expected SHA-256"):
        opened.axes()


# What is no signature


def changed(position: int, byte: bytes) -> bytes:
    return SOUND[:position] + byte + SOUND[position + 1 :]


VALUE = SOUND.index(b"ed25519 ") + 8
NO_SIGNATURES = {
    "empty": b"",
    "cut off": SOUND[:-2],
    "without its last line feed": SOUND[:-1],
    "with one more": SOUND + b"\n",
    "with a blank before": b" " + SOUND,
    "with a blank after": SOUND[:-1] + b" \n",
    "CRLF": SOUND.replace(b"\n", b"\r\n"),
    "with a byte order mark": b"\xef\xbb\xbf" + SOUND,
    "twice": SOUND * 2,
    "another version": SOUND.replace(b"/1", b"/2"),
    "another algorithm": SOUND.replace(b"ed25519", b"ed44800"),
    "an id that is short": SOUND.replace(KEY.id.encode(), KEY.id[:-1].encode()),
    "an id in capitals": SOUND.replace(KEY.id.encode(), KEY.id.upper().encode()),
    "a value that is short": SOUND[:VALUE] + base64.b64encode(bytes(63)) + b"\n",
    "a value that is long": SOUND[:VALUE] + base64.b64encode(bytes(65)) + b"\n",
    "a value of another alphabet": changed(VALUE, b"-"),
    "a value with bits to spare": SOUND[:-4] + bytes([SOUND[-4] + 1]) + b"==\n",
    "without its padding": SOUND.replace(b"==\n", b"\n"),
    "lines in another order": b"".join(sorted(SOUND.splitlines(keepends=True))),
    "a NUL at the end": SOUND + b"\0",
    "other digits": SOUND.replace(KEY.id.encode(), "१".encode() * 5 + b"0"),
    "the manifest": MANIFEST,
    "a public key": b"-----BEGIN PUBLIC KEY-----\n",
    "garbage": bytes(range(256)),
    "huge": SOUND * 100,
}


@pytest.mark.parametrize("content", NO_SIGNATURES.values(), ids=NO_SIGNATURES)
def test_a_file_that_is_no_signature(
    bundle: Path, signer: tuple[Path, Path], content: bytes
) -> None:
    assert parse_signature(SOUND, HERE)[0] == KEY.id  # the control
    (bundle / "SIGNATURE").write_bytes(content)
    refused(bundle, signer[1], "SIGNATURE: expected the three lines of a signature, found")
    with pytest.raises(ModelError, match="three lines"):
        open_bundle(bundle)  # without keys too


def test_a_huge_signature_is_not_read_to_its_end(bundle: Path, signer: tuple[Path, Path]) -> None:
    os.truncate(bundle / "SIGNATURE", 2**40)
    refused(bundle, signer[1], "found a large file of something else")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", ["symbolic link", "2 hard links", "directory", "pipe"])
def test_a_signature_that_is_no_plain_file(bundle: Path, tmp_path: Path, kind: str) -> None:
    (bundle / "SIGNATURE").rename(tmp_path / "elsewhere")
    match kind:
        case "symbolic link":
            (bundle / "SIGNATURE").symlink_to(tmp_path / "elsewhere")
        case "2 hard links":
            (bundle / "SIGNATURE").hardlink_to(tmp_path / "elsewhere")
        case "directory":
            (bundle / "SIGNATURE").mkdir()
        case _:
            os.mkfifo(bundle / "SIGNATURE")
    with pytest.raises(ModelError, match=f"SIGNATURE: expected a plain file, found.* {kind}"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["SIGNATURE.old", "signature", "SIGNATURE "])
def test_a_file_of_nearly_that_name_is_still_not_listed(bundle: Path, name: str) -> None:
    shutil.copy(bundle / "SIGNATURE", bundle / name)
    with pytest.raises(ModelError, match="expected only files listed"):
        open_bundle(bundle)


def test_a_manifest_cannot_list_its_signature(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_bytes())
    manifest["files"].append(manifest["files"][4] | {"role": "card", "file": "SIGNATURE"})
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="SIGNATURE cannot be listed in what it signs"):
        open_bundle(bundle)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_no_signature(data: bytes) -> None:
    with pytest.raises(ModelError):
        check_signature(HERE, MANIFEST, data, [KEY])


@given(st.data())
def test_a_damaged_signature_is_never_accepted(data: st.DataObject) -> None:
    damaged = bytearray(SOUND)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    if bytes(damaged) == SOUND:  # one change undid another
        return
    with pytest.raises(ModelError):
        check_signature(HERE, MANIFEST, bytes(damaged), [KEY, OTHER])


@given(st.binary(min_size=64, max_size=64), st.binary(max_size=64))
def test_no_value_fits_any_manifest(value: bytes, manifest: bytes) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        check_signature(HERE, manifest, format_signature(KEY.id, value), [KEY])


@given(st.binary(min_size=32, max_size=32))
def test_no_point_as_a_key_ends_in_anything_but_a_refusal(raw: bytes) -> None:
    signature = format_signature(key_id(raw), parse_signature(SOUND, HERE)[1])
    with pytest.raises(ModelError, match="does not fit"):
        check_signature(HERE, MANIFEST, signature, [PublicKey(raw, HERE)])


# Keys


def pem(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


PEM = pem(Ed25519PrivateKey.from_private_bytes(SEED).public_key())
PRIVATE = b"-----BEGIN PRIVATE KEY-----\nMC4CAQ==\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "content",
    [
        PEM,
        PEM.replace(b"\n", b"\r\n"),
        b"our key:\n" + PEM,
        base64.b64encode(KEY.raw),
        base64.b64encode(KEY.raw) + b"\r\n",
    ],
    ids=["PEM", "CRLF", "with words before", "base64", "base64 CRLF"],
)
def test_a_key_may_be_pem_or_base64(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "site.pub").write_bytes(content)
    [key] = read_keys([tmp_path / "site.pub"])
    assert key.raw == naive.public(SEED)
    assert known(check_signature(HERE, MANIFEST, SOUND, [key])).key == key


NO_KEYS: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "found something else"),
    "a private key": (lambda: PRIVATE, "found a private key, which must not leave the signer"),
    "both halves": (lambda: PEM + PRIVATE, "found a private key"),
    "two keys": (lambda: PEM * 2, "found 2 of them in one file"),
    "RSA": (
        lambda: pem(rsa.generate_private_key(65537, 1024).public_key()),
        "found one of another kind, RSA",
    ),
    "elliptic": (
        lambda: pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
        "another kind, EC",
    ),
    "Ed448": (lambda: pem(ed448.Ed448PrivateKey.generate().public_key()), "another kind, Ed448"),
    "a certificate": (lambda: PEM.replace(b"PUBLIC KEY", b"CERTIFICATE"), "found a certificate"),
    "damaged": (lambda: PEM.replace(b"MCow", b"MCox"), "found PEM that holds no key"),
    "cut off": (lambda: PEM[:60], "found PEM that holds no key"),
    "31 bytes": (lambda: base64.b64encode(KEY.raw[:31]), "found something else"),
    "33 bytes": (lambda: base64.b64encode(KEY.raw + b"x"), "found something else"),
    "hex": (lambda: KEY.raw.hex().encode(), "found something else"),
    "garbage": (lambda: bytes(range(256)), "found something else"),
    "OpenSSH": (lambda: b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI me@here", "found something else"),
    "large": (lambda: PEM + b"\n" * 5000, "found a large file"),
    "all zeros": (lambda: base64.b64encode(bytes(32)), "found a placeholder that anybody can"),
}


@pytest.mark.parametrize(("make", "found"), NO_KEYS.values(), ids=NO_KEYS)
def test_a_file_that_is_no_public_key(
    tmp_path: Path, make: Callable[[], bytes], found: str
) -> None:
    path = tmp_path / "site.pub"
    path.write_bytes(make())
    with pytest.raises(ConfigError, match=f"site.pub: expected an Ed25519 public key.*{found}"):
        read_keys([path])


@pytest.mark.parametrize(("name", "found"), [("absent", "No such file"), (".", "Is a directory")])
def test_a_key_that_cannot_be_read(tmp_path: Path, name: str, found: str) -> None:
    with pytest.raises(ConfigError, match=f"expected the file of a public key, found: {found}"):
        read_keys([tmp_path / name])


@given(
    st.binary(max_size=200) | st.binary(max_size=200).map(lambda data: PEM[:27] + data + PEM[-26:])
)
def test_no_bytes_as_a_key_raise_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.pub"
    path.write_bytes(data)
    with pytest.raises(ConfigError):
        read_keys([path])


def test_the_points_of_small_order_are_all_known() -> None:
    """Eight points, found by arithmetic; the encodings that readers take for them beside."""
    torsion = next(
        point
        for y in range(2, 100)
        if (point := _times_order(y)) is not None and naive.times(4, point) != naive.IDENTITY
    )
    points = {naive.times(factor, torsion) for factor in range(8)}
    assert len(points) == 8
    unsigned = {y.to_bytes(32, "little") for _, y in points}
    lenient = {(y + naive.P).to_bytes(32, "little") for _, y in points if y + naive.P < 2**255}
    assert unsigned | lenient == _SMALL_ORDER


def _times_order(y: int) -> naive.Point | None:
    try:
        return naive.times(naive.ORDER, naive.decode(y.to_bytes(32, "little")))
    except ValueError:
        return None


def test_anybody_could_sign_for_a_key_of_zeros() -> None:
    """Why such keys are refused: the library verifies what nobody signed."""
    forged = bytes([1, *bytes(63)])  # the identity, and zero
    assert any(ed25519.verifies(bytes(32), forged, b"forged %d" % n) for n in range(64))
    assert not any(ed25519.verifies(KEY.raw, forged, b"forged %d" % n) for n in range(64))


# The library


PROGRAM = """
import sys
from pathlib import Path
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name == "cryptography":
            raise ModuleNotFoundError("No module named 'cryptography'", name=name)
sys.meta_path.insert(0, Absent())
from edge.model.bundle.read import open_bundle
from edge.errors import EdgeError
from edge.model.bundle.signature import read_keys
bundle, *keys = map(Path, sys.argv[1:])
for trusted in ([], *([key] for key in keys)):
    try:
        print("opened, signed by", open_bundle(bundle, read_keys(trusted)).signed.key_id)
    except EdgeError as exc:
        print(type(exc).__name__, exc)
"""


def test_without_the_library_nothing_is_accepted_and_without_keys_it_is_not_missed(
    bundle: Path, signer: tuple[Path, Path], tmp_path: Path
) -> None:
    [key] = read_keys([signer[1]])
    (tmp_path / "site.base64").write_bytes(base64.b64encode(key.raw))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, bundle, signer[1], tmp_path / "site.base64"],
        capture_output=True,
        text=True,
        check=True,
    )
    without_keys, *with_keys = done.stdout.splitlines()
    assert without_keys == f"opened, signed by {key.id}"
    assert len(with_keys) == 2
    for line in with_keys:
        assert line.startswith("ConfigError signatures need the package cryptography")
        assert line.endswith("pip install 'camera-edge-runtime[signing]'")
