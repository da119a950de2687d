"""Pictures, videos and shards become one set: small, complete, the same each time, bad files named."""

import errno
import io
import json
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from rich.progress import Progress

from edge.errors import ConfigError, EdgeError, ModelError
from edge.testing.synthetic import write_clip
from export.distill.data import picture_set
from export.distill.data.picture_bytes import encode, read_still, rgb_of
from export.distill.data.pictures import PictureSet, open_pictures, prepare, spread_out

KINDS = ["PNG", "JPEG", "WEBP", "BMP"]


def scene(height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    """Soft coloured blobs, uint8 [H,W,3]: what a photograph is to an encoder."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def file_bytes(picture: np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def write_picture(path: Path, seed: int = 0, **size: int) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = scene(seed=seed, **size)
    path.write_bytes(file_bytes(picture))
    return picture


def write_tar(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


def test_a_mix_of_everything_becomes_one_set_in_the_order_of_keys(
    folder: Path, tmp_path: Path
) -> None:
    cat = write_picture(folder / "street" / "cat.png", 1)
    (folder / "street" / "cat.txt").write_text("  a cat in a street \nnot this\n")
    write_picture(folder / "dog.png", 2)
    clip = write_clip(tmp_path / "clip.mp4", fps=10, seconds=3)
    tar = write_tar(
        tmp_path / "shard-000.tar",
        {
            "000123.jpg": file_bytes(scene(seed=3), "JPEG"),
            "000123.txt": b"a shard",
            "a/b.c.png": file_bytes(scene(seed=4)),
            "a/b.json": b'{"caption": "by JSON", "more": 1}',
            "last.webp": file_bytes(scene(seed=5), "WEBP"),
        },
    )
    pictures = prepare([folder, clip, tar], tmp_path / "set", fps=2)
    assert len(pictures) == len(pictures.keys) == 11
    assert pictures.keys == tuple(sorted(pictures.keys))
    assert [key for key in pictures.keys if not key.startswith("clip")] == [
        "dog.png", "shard-000.tar/000123", "shard-000.tar/a/b", "shard-000.tar/last",
        "street/cat.png",
    ]  # fmt: skip
    assert "clip.mp4@0.000" in pictures.keys
    assert "clip.mp4@2.500" in pictures.keys
    captions = {
        picture.key: picture.caption for picture in map(pictures.__getitem__, range(len(pictures)))
    }
    assert captions["street/cat.png"] == "a cat in a street"
    assert captions["shard-000.tar/000123"] == "a shard"
    assert captions["shard-000.tar/a/b"] == "by JSON"
    assert captions["dog.png"] is captions["clip.mp4@0.000"] is None
    assert dict(pictures.skipped) == {}
    found = pictures[pictures.keys.index("street/cat.png")].rgb
    assert found.dtype == np.uint8
    assert found.shape == (48, 64, 3)
    assert difference(found, cat) < 1


def test_the_same_sources_give_the_same_digest_and_other_captions_or_pictures_another(
    folder: Path, tmp_path: Path
) -> None:
    write_picture(folder / "a.png")
    first = prepare([folder], tmp_path / "one")
    assert prepare([folder], tmp_path / "two").digest == first.digest
    (folder / "a.txt").write_text("a caption")
    captioned = prepare([folder], tmp_path / "three").digest
    (folder / "a.txt").unlink()
    write_picture(folder / "a.png", 7)
    other = prepare([folder], tmp_path / "four").digest
    (folder / "a.png").rename(folder / "b.png")
    renamed = prepare([folder], tmp_path / "five").digest
    assert len({first.digest, captioned, other, renamed}) == 4
    assert len(first.digest) == 64


def test_a_set_that_is_there_is_used_again_until_a_file_or_an_option_changes(
    folder: Path, tmp_path: Path
) -> None:
    write_picture(folder / "a.png")
    out = tmp_path / "set"
    made = [prepare([folder], out), prepare([folder], out)]
    inode = out.stat().st_ino
    assert made[0].fingerprint == made[1].fingerprint
    assert prepare([folder], out, side=32)[0].rgb.shape == (24, 32, 3)
    assert out.stat().st_ino != inode
    prepare([folder], out)
    inode = out.stat().st_ino
    prepare([folder], out)
    assert out.stat().st_ino == inode
    (folder / "a.txt").write_text("new")
    assert prepare([folder], out)[0].caption == "new"
    os.utime(folder / "a.png", ns=(1, 1))
    fingerprint = open_pictures(out).fingerprint
    assert prepare([folder], out).fingerprint != fingerprint
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_pictures_are_scaled_down_and_never_up(folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "small.png", width=30, height=20)
    wide = write_picture(folder / "wide.png", width=400, height=101)
    write_picture(folder / "line.png", width=1, height=300)
    small, line, scaled = (
        prepare([folder], tmp_path / "set", side=100)[index].rgb for index in (1, 0, 2)
    )
    assert small.shape == (20, 30, 3)
    assert line.shape == (100, 1, 3)
    assert scaled.shape == (25, 100, 3)
    reference = Image.fromarray(wide).resize((100, 25), Image.Resampling.BICUBIC)
    assert difference(scaled, np.asarray(reference)) < 1.5


@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("PNG", "RGB", {}), ("PNG", "L", {}), ("PNG", "P", {}), ("PNG", "1", {}),
        ("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True}), ("JPEG", "L", {}),
        ("JPEG", "RGB", {"subsampling": 0}), ("JPEG", "CMYK", {}),
        ("WEBP", "RGB", {}), ("WEBP", "RGB", {"lossless": True}),
        ("BMP", "RGB", {}), ("BMP", "L", {}), ("BMP", "P", {}), ("BMP", "1", {}),
    ],
)  # fmt: skip
def test_every_kind_of_picture_comes_out_as_pillow_reads_it(
    kind: str, mode: str, options: dict[str, Any]
) -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene()).convert(mode).save(buffer, kind, **options)
    found = rgb_of(read_still(buffer.getvalue()), 512)
    assert difference(found, np.asarray(Image.open(buffer).convert("RGB"))) < 1.5


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["RGBA", "LA", "PA"]), st.data())
def test_what_is_transparent_stands_before_grey(
    height: int, width: int, mode: str, data: Any
) -> None:
    seed = data.draw(st.integers(0, 1000))
    rng = np.random.default_rng(seed)
    alpha = Image.fromarray(rng.integers(0, 256, (height, width), dtype=np.uint8))
    picture = Image.fromarray(scene(height, width, seed)).convert("L" if mode == "LA" else "RGB")
    picture.putalpha(alpha)
    if mode == "PA":
        picture = picture.quantize(16)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    rgba = np.asarray(picture.convert("RGBA")).astype(float)
    opacity = rgba[..., 3:] / 255
    naive = rgba[..., :3] * opacity + 127 * (1 - opacity)
    found = rgb_of(read_still(buffer.getvalue()), 512)
    assert np.abs(found - naive).max() <= 0.5 + 1e-6


def test_a_cut_out_does_not_bleed_the_colour_of_what_nobody_sees() -> None:
    """A grey square in transparent red, scaled down to an eighth: nothing of it is red."""
    rgba = np.full((160, 160, 4), (255, 0, 0, 0), np.uint8)
    rgba[37:121, 37:121] = (127, 127, 127, 255)
    assert (rgb_of(read_still(file_bytes(rgba)), 20) == 127).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_stands_upright(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_bytes(scene(), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    found = rgb_of(read_still(data), 512)
    assert found.shape == np.asarray(upright).shape
    assert difference(found, np.asarray(upright)) < 1.5


@given(st.integers(16, 70), st.integers(16, 70), st.integers(0, 1000))
def test_what_a_set_keeps_is_close_to_what_it_was(height: int, width: int, seed: int) -> None:
    picture = scene(height, width, seed)
    found = rgb_of(read_still(encode(picture)), 512)
    assert found.shape == picture.shape
    assert difference(found, picture) < 1.5


@pytest.mark.parametrize("seed", range(5))
def test_what_a_set_keeps_has_the_same_colours(seed: int) -> None:
    picture = scene(200, 300, seed)
    bias = rgb_of(read_still(encode(picture)), 512).mean((0, 1)) - picture.mean((0, 1))
    assert np.abs(bias).max() < 0.25  # swscale's way to YUV is off by 0.5 to 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 3), (1, 512), (17, 15)])
def test_the_smallest_pictures_are_kept_as_well(size: tuple[int, int]) -> None:
    picture = scene(*size)
    found = rgb_of(read_still(encode(picture)), 512)
    assert found.shape == picture.shape
    assert difference(found, picture) < 5


def test_frames_of_a_video_are_few_different_and_named_by_their_time(tmp_path: Path) -> None:
    """Three scenes of four seconds: however many frames are looked at, three are worth keeping."""
    scenes = [scene(seed=seed) for seed in range(3)]
    clip = write_clip(
        tmp_path / "clip.mkv", fps=10, seconds=12, width=64, height=48,
        pattern=lambda time_s: scenes[int(time_s // 4)],
    )  # fmt: skip
    keys = prepare([clip], tmp_path / "all", fps=5).keys
    times = sorted(float(key.removeprefix("clip.mkv@")) for key in keys)
    assert [int(time // 4) for time in times] == [0, 1, 2]
    assert len(prepare([clip], tmp_path / "two", fps=5, per_video=2)) == 2


def test_near_duplicates_go_however_long_the_video_is(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "clip.mp4", fps=10, seconds=30, width=64, height=48, pattern=lambda _: scene()
    )
    assert prepare([clip], tmp_path / "set", fps=10, per_video=4).keys == ("clip.mp4@0.000",)


def test_a_video_that_is_cut_off_gives_the_frames_before(tmp_path: Path) -> None:
    data = write_clip(tmp_path / "whole.mkv", seconds=8).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) // 2])
    pictures = prepare([tmp_path / "cut.mkv"], tmp_path / "set", max_skipped=1)
    assert 2 <= len(pictures) <= 5
    assert pictures.keys[0] == "cut.mkv@0.000"


def hundred(folder: Path) -> None:
    """So many sound pictures that a few broken ones are no reason to stop."""
    data = file_bytes(scene(8, 8))
    for index in range(100):
        (folder / f"{index:03}.png").write_bytes(data)


def test_what_is_broken_is_named_and_the_rest_is_there(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hundred(folder)
    (folder / "cut.png").write_bytes(file_bytes(scene())[:200])
    (folder / "cut.jpg").write_bytes(file_bytes(scene(200, 300), "JPEG")[:1500])
    (folder / "notes.md").write_text("no picture")
    (folder / "empty.jpg").touch()
    clip = write_clip(tmp_path / "sound.mp4", seconds=1).read_bytes()
    (folder / "cut.mp4").write_bytes(clip[: len(clip) // 2])  # its index is at the end
    pictures = prepare([folder], tmp_path / "set")
    assert len(pictures) == 100
    assert set(pictures.skipped) == {"cut.png", "cut.jpg", "cut.mp4", "empty.jpg"}
    assert "whole png picture" in pictures.skipped["cut.png"]
    for name in pictures.skipped:
        assert f"skips {name}: " in caplog.text
    assert dict(open_pictures(tmp_path / "set").skipped) == dict(pictures.skipped)


def test_a_shard_that_is_cut_off_gives_what_came_before(folder: Path, tmp_path: Path) -> None:
    members = {f"{index:03}.png": file_bytes(scene(seed=index)) for index in range(20)}
    data = write_tar(tmp_path / "whole.tar", members).read_bytes()
    (folder / "cut.tar").write_bytes(data[: len(data) // 2])
    pictures = prepare([folder], tmp_path / "set", max_skipped=0.5)
    assert 5 <= len(pictures) <= 12
    assert list(pictures.skipped) == ["cut.tar"]
    assert "expected a whole .tar, found: unexpected end of data" in pictures.skipped["cut.tar"]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"x.png": b"no picture"}, "found b'no p'"),
        ({"x.txt": b"alone"}, "found txt"),
        ({"x.png": file_bytes(scene()), "x.seg.png": file_bytes(scene())}, "found png, seg.png"),
        ({"x.png": file_bytes(scene()), "x.json": b"{"}, "expected JSON with a caption"),
        ({"x.png": file_bytes(scene()), "x.json": b"[" * 10**5}, "expected JSON with a caption"),
    ],
)
def test_a_sample_of_a_shard_that_will_not_do_is_named(
    members: dict[str, bytes], why: str, folder: Path, tmp_path: Path
) -> None:
    good = {f"{index}.png": file_bytes(scene()) for index in range(20)}
    write_tar(folder / "shard.tar", good | members)
    pictures = prepare([folder], tmp_path / "set")
    assert len(pictures) == 20
    assert list(pictures.skipped) == ["shard.tar/x"]
    assert why in pictures.skipped["shard.tar/x"]


@pytest.mark.parametrize("data", [b"", b"no tar", b"\x1f\x8b\x08 no gzip" * 90, b"\0" * 4000])
def test_a_shard_that_is_none_is_named_or_empty(data: bytes, folder: Path, tmp_path: Path) -> None:
    hundred(folder)
    (folder / "bad.tar").write_bytes(data)
    pictures = prepare([folder], tmp_path / "set")
    assert len(pictures) == 100
    assert set(pictures.skipped) <= {"bad.tar"}


def test_a_member_twice_is_reported_and_a_key_twice_is_made_unique(
    folder: Path, tmp_path: Path
) -> None:
    data = file_bytes(scene())
    path = folder / "shard.tar"
    with tarfile.open(path, "w") as archive:
        for name in ("a.png", "a.png", "b.png", "a.png"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    pictures = prepare([folder], tmp_path / "set", max_skipped=0.3)
    assert pictures.keys == ("shard.tar/a", "shard.tar/a#2", "shard.tar/b")
    assert "duplicate file name" in pictures.skipped["shard.tar"]


def test_files_of_two_folders_with_one_name_are_both_there_in_the_order_given(
    tmp_path: Path,
) -> None:
    write_picture(tmp_path / "one" / "a.png", 1)
    write_picture(tmp_path / "two" / "a.png", 2)
    write_picture(tmp_path / "two" / "b.png", 3)
    sources = [tmp_path / "one", tmp_path / "two"]
    pictures = prepare(sources, tmp_path / "set")
    assert pictures.keys[:2] == ("a.png", "a.png#2")
    assert len(pictures) == 3
    assert difference(pictures[0].rgb, scene(seed=1)) < 1
    assert difference(pictures[1].rgb, scene(seed=2)) < 1
    # A folder within a folder, or one that is given twice, is read once.
    again = prepare([tmp_path / "one", *sources, tmp_path / "one" / "a.png"], tmp_path / "again")
    assert again.digest == pictures.digest


def test_too_much_that_is_broken_is_refused_with_the_first_and_the_count(
    folder: Path, tmp_path: Path
) -> None:
    write_picture(folder / "good.png")
    for name in ("bad1.png", "bad2.png"):
        (folder / name).write_bytes(b"no picture")
    with pytest.raises(ModelError, match=r"at most 50% .* found 2 of 3, the first: bad1\.png: "):
        prepare([folder], tmp_path / "set", max_skipped=0.5)
    assert not (tmp_path / "set").exists()
    assert len(prepare([folder], tmp_path / "set", max_skipped=0.67)) == 1


def test_nothing_to_read_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pictures or videos for distillation in .*empty folder"):
        prepare([folder], tmp_path / "set")
    with pytest.raises(ConfigError, match=r"gone does not exist; expected a folder"):
        prepare([tmp_path / "gone"], tmp_path / "set")
    (folder / "captions.txt").write_text("no picture")
    with pytest.raises(ModelError, match=r"found 0 that cannot be read, the first: none at all"):
        prepare([folder], tmp_path / "set")
    (folder / "bad.png").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"found 1 that cannot be read, the first: bad\.png"):
        prepare([folder], tmp_path / "set", max_skipped=1)


@pytest.mark.parametrize(
    "option", [{"side": 0}, {"side": 10**5}, {"fps": 0}, {"fps": float("nan")}, {"per_video": 0},
               {"max_skipped": 1.1}, {"max_skipped": float("nan")}],
)  # fmt: skip
def test_a_wrong_option_is_refused_by_name(
    option: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    write_picture(folder / "a.png")
    with pytest.raises(ConfigError, match=rf"expected {next(iter(option))} .*, found "):
        prepare([folder], tmp_path / "set", **option)


@pytest.mark.parametrize("out", ["given", "given/set", "."])
def test_a_set_among_its_own_pictures_is_refused(out: str, folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "a.png")
    with pytest.raises(ConfigError, match="apart from the pictures"):
        prepare([folder], tmp_path / out)
    assert (folder / "a.png").is_file()


def test_a_folder_of_something_else_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "a.png")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.doc").touch()
    with pytest.raises(ModelError, match="expected a prepared set of pictures or an empty"):
        prepare([folder], tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.doc").is_file()


@pytest.mark.parametrize("files_before", [0, 1])
def test_a_full_disk_leaves_no_half_set_and_the_old_one_as_it_was(
    files_before: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(folder / "a.png")
    out = tmp_path / "set"
    old = prepare([folder], out, side=16).digest
    written = []

    def full(_: int) -> None:
        written.append(1)
        if len(written) > files_before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelError, match="pictures there, found: No space left on device; choose"):
        prepare([folder], out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "set"]
    assert open_pictures(out).digest == old


def test_large_sets_have_several_files_and_every_picture_is_found(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_set, "_SHARD_BYTES", 5000)
    originals = [write_picture(folder / f"{index:02}.png", index) for index in range(12)]
    pictures = prepare([folder], tmp_path / "set")
    shards = list((tmp_path / "set").glob("*.safetensors"))
    assert len(shards) > 2
    assert all(shard.stat().st_size < 7000 for shard in shards)
    for order in (range(12), reversed(range(12))):
        for index in order:
            assert difference(pictures[index].rgb, originals[index]) < 1
    assert pictures[-1].key == "11.png"
    with pytest.raises(IndexError):
        pictures[12]


def test_a_set_goes_to_another_process(folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "a.png")
    pictures = prepare([folder], tmp_path / "set")
    before = pictures[0].rgb
    copy: PictureSet = pickle.loads(pickle.dumps(pictures))
    assert np.array_equal(copy[0].rgb, before)
    assert copy.digest == pictures.digest


def damage_index(out: Path, **changes: object) -> None:
    index = json.loads((out / "pictures.json").read_bytes())
    (out / "pictures.json").write_text(json.dumps(index | changes))


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda out: (out / "pictures.json").unlink(), "no pictures.json"),
        (lambda out: (out / "pictures.json").write_text("{"), "says something else"),
        (lambda out: damage_index(out, format="pictures/0"), "says something else"),
        (lambda out: damage_index(out, pictures=[["a.png", None, 1, 0]]), "does not list"),
        (lambda out: next(out.glob("*.safetensors")).unlink(), "no pictures-00000.safetensors"),
        (lambda out: next(out.glob("*.safetensors")).write_bytes(b"x"), "with 1 bytes instead"),
    ],
)
def test_a_damaged_set_is_refused_and_made_again(
    damage: Callable[..., Any], found: str, folder: Path, tmp_path: Path
) -> None:
    write_picture(folder / "a.png")
    out = tmp_path / "set"
    digest = prepare([folder], out).digest
    damage(out)
    with pytest.raises(ModelError, match=found):
        open_pictures(out)
    if (out / "pictures.json").exists():  # else nobody knows that it is one, and it stays
        assert prepare([folder], out).digest == digest


def test_damage_within_a_file_is_reported_with_the_picture(folder: Path, tmp_path: Path) -> None:
    write_picture(folder / "a.png")
    prepare([folder], tmp_path / "set")
    shard = next((tmp_path / "set").glob("*.safetensors"))
    whole = shard.read_bytes()
    for broken in (b"\xff" * len(whole), whole[:-600] + bytes(600)):
        shard.write_bytes(broken)
        with pytest.raises(ModelError, match=r"set: expected .* found a\.png: .*prepare it again"):
            open_pictures(tmp_path / "set")[0]


def test_names_that_are_no_unicode_are_kept_readable(folder: Path, tmp_path: Path) -> None:
    data = file_bytes(scene())
    Path(os.fsdecode(bytes(folder) + b"/b\xff.png")).write_bytes(data)
    Path(os.fsdecode(bytes(folder) + b"/c\xfe.mp4")).write_text("no picture")
    (folder / "100%d.png").write_bytes(data)
    write_tar(folder / "é\n.tar", {"snow ☃.png": data})
    pictures = prepare([folder], tmp_path / "set", max_skipped=0.5)
    assert pictures.keys == ("100%d.png", "b\\udcff.png", "é\n.tar/snow ☃")
    assert list(pictures.skipped) == ["c\\udcfe.mp4"]


def test_progress_counts_the_files(folder: Path, tmp_path: Path) -> None:
    for index in range(3):
        write_picture(folder / f"{index}.png")
    progress = Progress(disable=True)
    prepare([folder], tmp_path / "set", progress=progress)
    assert (progress.tasks[0].completed, progress.tasks[0].total) == (3, 3)


HOSTILE = st.one_of(
    st.binary(max_size=300),
    st.tuples(
        st.sampled_from([file_bytes(scene(), kind) for kind in KINDS]),
        st.integers(0, 3000), st.binary(max_size=20), st.integers(0, 3000),
    ).map(lambda parts: (parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + 1 :])[: parts[3]]),
)  # fmt: skip


@given(st.dictionaries(st.text("ab.#@é", min_size=1, max_size=6), HOSTILE, max_size=4), HOSTILE)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_in_the_files_it_is_a_picture_or_it_is_named(
    tmp_path_factory: pytest.TempPathFactory, members: dict[str, bytes], data: bytes
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    write_picture(folder / "given" / "good.png")
    (folder / "given" / "any.jpg").write_bytes(data)
    (folder / "given" / "any.mp4").write_bytes(data)
    named = {f"{name}.png": content for name, content in members.items()}
    write_tar(folder / "given" / "any.tar", named)
    try:
        pictures = prepare([folder / "given"], folder / "set", max_skipped=1)
    except EdgeError as exc:
        pytest.fail(f"one good picture is enough, found {exc}")
    assert "good.png" in pictures.keys
    for picture in map(pictures.__getitem__, range(len(pictures))):
        assert picture.rgb.ndim == 3
    for name in ("any.jpg", "any.mp4"):
        assert any(key.startswith(name) for key in (*pictures.keys, *pictures.skipped))


@given(
    st.integers(0, 30), st.integers(1, 8), st.integers(-1, 40), st.floats(0, 2), st.integers(0, 99)
)
def test_vectors_are_spread_out_as_the_definition_says(
    rows: int, dim: int, count: int, least: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(rows, dim)).astype(np.float32)
    vectors[rows // 2 :] = vectors[: rows - rows // 2]  # duplicates
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    chosen = spread_out(vectors, count, least)
    assert chosen == sorted(set(chosen))
    assert len(chosen) <= max(0, count)
    if not rows or count < 1:
        assert chosen == []
        return
    assert chosen[0] == 0
    distances = 1 - vectors[chosen] @ vectors.T
    apart = distances[:, chosen][~np.eye(len(chosen), dtype=bool)]
    assert (apart >= least - 1e-5).all()
    if len(chosen) < min(count, rows):  # it stopped early: all the rest is near a chosen one
        rest = np.setdiff1d(np.arange(rows), chosen)
        assert (distances[:, rest].min(0) < least + 1e-5).all()


def test_few_vectors_are_those_that_differ_most() -> None:
    angles = np.radians([0, 5, 10, 90, 95, 180])
    vectors = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert spread_out(vectors, 2, 0.1) == [0, 5]
    assert spread_out(vectors, 3, 0.1) == [0, 3, 5]
    assert spread_out(vectors, 6, 0.1) == [0, 3, 5]
