"""Which slot GRUB starts, by what RAUC and the health gate left in its environment.

A shell stands for GRUB: grub.cfg is in a language whose conditions and loops are a shell's. That GRUB
itself reads it so is shown by the image that is booted (make image-test).
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.image import rootfs

GRUB = (Path(rootfs.__file__).parent / "grub.cfg").read_text()
# What GRUB has built in, as far as grub.cfg uses it.
BUILT_IN = """
serial() { false; }
load_env() { :; }
save_env() { for name in "$@"; do eval "echo saved $name=\\$$name"; done; }
regexp() { disk=hd7; }
linux() { echo "linux $*"; [ "$loadable" = 1 ]; }
initrd() { echo "initrd $*"; }
boot() { exit 0; }
reboot() { echo reboot; exit 0; }
sleep() { :; }
"""
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")


class Start(NamedTuple):
    """What GRUB did."""

    slot: str
    saved: dict[str, str]
    said: str


def start(state: str, *, loadable: bool = True) -> Start:
    """Run grub.cfg with an environment such as ``ORDER=BA A=10 B=11`` (OK and TRY of each slot)."""
    values = dict(part.split("=") for part in state.split())
    names = {"ORDER": " ".join(values.pop("ORDER")), "loadable": str(int(loadable))}
    for slot in ("A", "B"):
        names |= dict(zip((f"{slot}_OK", f"{slot}_TRY"), values.pop(slot), strict=True))
    names |= values
    given = "\n".join(f'{name}="{value}"' for name, value in names.items())
    # `set name=value` is a shell's `name=value`; load_env comes after the defaults.
    text = re.sub(r"^(\s*)set (\w+)=", r"\1\2=", GRUB, flags=re.MULTILINE)
    text = re.sub(r"^load_env .*$", lambda _: given, text, flags=re.MULTILINE)
    text = text.replace("($disk,gpt$partition)", '"($disk,gpt$partition)"')
    done = subprocess.run(
        ["bash", "-c", BUILT_IN + text], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return Start(
        "".join(re.findall(r"rauc\.slot=(\w)", done.stdout)),
        dict(re.findall(r"^saved (\w+)=(\w*)$", done.stdout, re.MULTILINE)),
        done.stdout,
    )


@pytest.mark.parametrize(
    ("state", "slot", "tries"),
    [
        ("ORDER=AB A=10 B=00", "A", "1 0"),  # a new disk
        ("ORDER=BA A=10 B=10", "B", "0 1"),  # after an update
        ("ORDER=BA A=10 B=11", "A", "1 1"),  # the update gave no answer: back
        ("ORDER=BA A=10 B=00", "A", "1 0"),  # RAUC was interrupted while it wrote B
        ("ORDER=AB A=00 B=10", "B", "0 1"),  # the same while it wrote A
        ("ORDER=AB A=11 B=00", "A", "1 0"),  # power cut before the gate spoke; there is one slot
        ("ORDER=BA A=11 B=11", "B", "0 1"),  # both tried in vain: from the beginning
        ("ORDER=AB A=11 B=11", "A", "1 0"),
        ("ORDER=BA A=11 B=01", "A", "1 0"),  # what RAUC calls bad is not started
        ("ORDER=AB A=00 B=00", "A", "1 0"),  # nothing is good: better one than none
    ],
)
def test_the_slot_that_starts(state: str, slot: str, tries: str) -> None:
    found = start(state)
    assert found.slot == slot
    assert f"{found.saved['A_TRY']} {found.saved['B_TRY']}" == tries
    label, partition = ("rootfs-a", 3) if slot == "A" else ("rootfs-b", 4)
    assert f"linux (hd7,gpt{partition})/vmlinuz root=PARTLABEL={label} " in found.said


def test_a_box_that_nobody_accepts_alternates_between_its_slots() -> None:
    slots, state = "", "ORDER=AB A=10 B=10"
    for _ in range(6):
        found = start(state)
        slots += found.slot
        state = f"ORDER=AB A=1{found.saved['A_TRY']} B=1{found.saved['B_TRY']}"
    assert slots == "ABABAB"


def test_a_slot_that_cannot_be_loaded_counts_as_tried() -> None:
    found = start("ORDER=BA A=10 B=10", loadable=False)
    assert found.saved["B_TRY"] == "1"
    assert found.said.endswith("reboot\n")
    assert start("ORDER=BA A=10 B=11").slot == "A"


def test_the_box_keeps_its_machine_id() -> None:
    given = start("ORDER=AB A=10 B=00 MACHINE_ID=0123abcd").said
    assert " systemd.machine_id=0123abcd " in given
    assert "machine_id" not in start("ORDER=AB A=10 B=00").said
