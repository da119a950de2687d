"""What the rules shall be, after which commands; and what a restart finds of it."""

import errno
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present
from prompts import prompt

from edge.config.prompt import PromptConfig
from edge.control.commands import Command, DesiredPrompts, SetFeature, SetProfile, SetPrompts
from edge.control.desired.file import DesiredFile
from edge.control.desired.state import Desired, RuleSettings
from edge.errors import ConfigError, SideFileError

FILE = {
    "cat": prompt(text="a cat", negatives=("a dog",), on={"for": 1, "of": 1}),
    "van": PromptConfig.model_validate({"text": "a van", "threshold": 0.2}),
}
NOTHING = Desired()


def prompts(base: str = "file", **rules: dict[str, Any]) -> SetPrompts:
    return SetPrompts(
        DesiredPrompts.model_validate({"schema": "edge-prompts/1", "prompts": rules, "base": base})
    )


def after(*commands: Command, desired: Desired = NOTHING) -> Desired:
    for command in commands:
        desired = desired.after(command, FILE)
    return desired


def test_without_any_command_the_rules_are_those_of_the_file() -> None:
    assert Desired().effective(FILE) == FILE


def test_a_desired_state_stands_beside_the_file_or_in_its_place() -> None:
    dog = {"text": "a dog"}
    beside = after(prompts(dog=dog, van={"text": "a lorry"})).effective(FILE)
    assert list(beside) == ["cat", "van", "dog"]
    assert beside["van"] == prompt(text="a lorry")
    alone = after(prompts("none", dog=dog)).effective(FILE)
    assert alone == {"dog": prompt(text="a dog")}


def test_saying_the_same_again_changes_nothing_not_even_single_settings() -> None:
    said = prompts(dog={"text": "a dog"})
    desired = after(said, SetFeature("dog", "enabled", value=False))
    assert after(said, desired=desired) is desired


def test_a_new_desired_state_ends_single_settings_of_the_rules_it_names() -> None:
    first, second = prompts(dog={"text": "a dog"}), prompts(dog={"text": "a small dog"})
    off = [SetFeature(rule, "enabled", value=False) for rule in ("dog", "cat")]
    effective = after(first, *off, second).effective(FILE)
    assert effective["dog"].enabled
    assert not effective["cat"].enabled


def test_back_to_the_file_takes_everything_back_but_the_profile() -> None:
    desired = after(
        prompts(dog={"text": "a dog"}), SetFeature("cat", "enabled", value=False),
        SetProfile("night"), SetPrompts(None),
    )  # fmt: skip
    assert desired == Desired(profile="night")


def test_a_single_setting_leaves_the_rest_of_the_rule_as_it_is() -> None:
    changed = after(SetFeature("cat", "text", ("a tomcat", "a kitten"))).effective(FILE)["cat"]
    assert changed == FILE["cat"].model_copy(update={"text": ("a tomcat", "a kitten")})


def test_false_alarms_and_threshold_exclude_each_other_and_the_last_word_counts() -> None:
    asked = SetFeature("van", "false_alarms_per_day", 3.0)
    fixed = SetFeature("van", "threshold", 0.4)
    auto = SetFeature("van", "threshold", "auto")

    def van(*commands: SetFeature) -> tuple[Any, ...]:
        rule = after(*commands).effective(FILE)["van"]
        return rule.threshold, rule.false_alarms_per_day

    assert van(asked) == (None, 3.0)
    assert van(asked, fixed)[0] == 0.4
    assert van(asked, fixed, auto) == (None, 3.0)
    assert van(fixed, asked) == (None, 3.0)
    assert van(auto)[0] is None


def test_a_fixed_threshold_takes_all_settings_of_a_learned_one_away() -> None:
    asked = {"text": "a dog", "false_alarms_per_day": 2.0, "even": True, "start": "quiet"}
    fixed = SetFeature("dog", "threshold", 0.4)
    rule = after(prompts(dog=asked), fixed).effective(FILE)["dog"]
    assert (rule.threshold, rule.even, rule.start) == (0.4, False, None)
    back = after(prompts(dog=asked), fixed, SetFeature("dog", "threshold", "auto"))
    again = back.effective(FILE)["dog"]
    assert (again.false_alarms_per_day, again.even, again.start) == (2.0, True, "quiet")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (SetFeature("dog", "enabled", value=True), "there is no prompt 'dog'"),
        (SetFeature("cat", "threshold", 9.0), "prompts.cat.threshold: expected at most 2, found 9"),
        (SetFeature("cat", "threshold", float("nan")), "expected a finite number"),
        (SetFeature("cat", "false_alarms_per_day", 0.0), "false_alarms_per_day: expected at least 0.001"),
        (SetFeature("cat", "text", ("",)), "prompts.cat.text: expected some text"),
        (SetProfile("a/b"), "profile: expected 1 to 64 letters"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_changes(
    command: SetFeature | SetProfile, words: str
) -> None:
    desired = after(SetFeature("cat", "enabled", value=False))
    with pytest.raises(ConfigError, match=words):
        after(command, desired=desired)
    assert not desired.effective(FILE)["cat"].enabled


@given(
    st.builds(
        RuleSettings,
        enabled=st.none() | st.booleans(),
        false_alarms_per_day=st.none() | st.floats(0.01, 100),
        threshold=st.none() | st.just("auto") | st.floats(-2, 2),
        text=st.none() | st.just(("a tomcat",)),
    ),
    st.sampled_from(list(FILE)),
)
def test_any_settings_that_are_right_alone_are_right_together(
    settings: RuleSettings, rule: str
) -> None:
    Desired(settings={rule: settings}).effective(FILE)


def test_a_restart_finds_what_is_in_force_and_what_was_being_tried(tmp_path: Path) -> None:
    file = DesiredFile(tmp_path / "state" / "desired.json")
    assert file.load() == (Desired(), None)
    accepted = after(prompts(dog={"text": "a dog", "off_after": "10s"}), SetProfile("night"))
    pending = after(SetFeature("cat", "threshold", 0.1), desired=accepted)
    file.save(accepted, pending)
    assert file.load() == (accepted, pending)
    assert present(file.load()[1]).effective(FILE) == pending.effective(FILE)
    file.save(pending)
    assert file.load() == (pending, None)


def test_a_failed_write_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    file.save(after(SetProfile("night")))
    monkeypatch.setattr("os.fsync", lambda _fd: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        file.save(Desired())
    assert file.load()[0].profile == "night"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", json.dumps({"accepted": {}}).encode()])
def test_a_damaged_file_costs_what_was_desired_and_no_start(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "desired.json"
    path.write_bytes(content)
    caplog.set_level(logging.ERROR)
    assert DesiredFile(path).load() == (Desired(), None)
    assert "set aside as desired-corrupt-1.json" in caplog.text
    assert (tmp_path / "desired-corrupt-1.json").read_bytes() == content


def test_a_newer_versions_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    content = b'{"schema_": "edge-desired/2", "accepted": {"rules": {}}}'
    path.write_bytes(content)
    file = DesiredFile(path)
    assert file.load() == (Desired(), None)
    assert "start the version that wrote it" in str(file.unread())
    file_is_not_written(file, "newer")
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_read_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "desired.json"
    DesiredFile(path).save(after(SetProfile("night")))
    content = path.read_bytes()
    file = DesiredFile(path)

    def fail(_path: Path) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_bytes", fail)
        assert file.load() == (Desired(), None)
    file_is_not_written(file, "failing")
    assert path.read_bytes() == content
    assert file.load()[0].profile == "night"
    assert file.unread() is None
    file.save(Desired())
    assert file.load() == (Desired(), None)


def test_a_file_on_a_disk_that_is_not_mounted_is_not_overwritten(tmp_path: Path) -> None:
    disk, path = tmp_path / "disk", tmp_path / "desired.json"
    DesiredFile(disk / "desired.json").save(after(SetProfile("night")))
    path.symlink_to(disk / "desired.json")
    away = disk.rename(tmp_path / "away")
    file = DesiredFile(path)
    assert file.load() == (Desired(), None)
    file_is_not_written(file, "failing")
    away.rename(disk)
    assert file.load()[0].profile == "night"


def file_is_not_written(file: DesiredFile, trouble: str) -> None:
    uses: list[Callable[[], None]] = [lambda: file.save(Desired()), file.flush]
    for use in uses:
        with pytest.raises(SideFileError, match="is left as it is") as raised:
            use()
        assert raised.value.trouble == trouble


def test_what_a_full_disk_did_not_take_is_written_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = DesiredFile(tmp_path / "desired.json")
    file.flush()
    assert list(tmp_path.iterdir()) == []  # nothing waits

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        file.keep(after(SetProfile("night")))
        with pytest.raises(SideFileError, match="make room") as raised:
            file.flush()
    assert raised.value.trouble == "full"
    assert "lost at the next start" in caplog.text
    file.flush()
    assert DesiredFile(tmp_path / "desired.json").load()[0].profile == "night"


def test_what_is_not_in_use_is_kept_in_a_copy(tmp_path: Path) -> None:
    path = tmp_path / "desired.json"
    file = DesiredFile(path)
    file.save(after(SetProfile("night")))
    file.keep_old()
    for profile in ("day", "away"):
        file.save(after(SetProfile(profile)))
    assert DesiredFile(tmp_path / "desired-old-1.json").load()[0].profile == "night"
    assert not (tmp_path / "desired-old-2.json").exists()
