"""Rows about a backup on a stick: a box that is gone, and who may have one."""

import subprocess
from pathlib import Path

from bench import ACCEPTED, Bench, healthy
from rows_updates import arrived_since, committed

_KEY = "sha256sum </etc/edge/credentials/device.key"


def files_on(stick: Path) -> str:
    """What lies on a stick."""
    done = subprocess.run(
        ["mdir", "-b", "-i", stick, "::"], capture_output=True, text=True, check=True
    )
    return done.stdout


def a_new_box_takes_the_place_of_a_dead_one(bench: Bench) -> str:
    """It is flashed with the same settings, and started with the stick in it."""
    guest = bench.box()
    healthy(guest)
    key = guest.check(_KEY)
    bench.host.stop_broker()
    since = float(guest.check("date +%s"))
    waiting = committed(guest, since)
    until = float(guest.check("date +%s"))
    stick = bench.backup_stick(bench.settings)
    guest.plug(stick)
    told = guest.wait(r"edge: box: \d+ files, .* MB")
    guest.unplug()
    guest.screen(bench.pictures / "backed-up.png")
    bench.give_up()
    bench.host.forget()
    bench.host.start_broker()
    with bench.new_box("heir") as heir:
        heir.plug(stick)
        restored = heir.wait(
            "edge: (not )?restored: .*", "edge: edge-config.yaml is accepted", ACCEPTED
        )
        assert "edge: restored: box-" in heir.log(), restored
        heir.screen(bench.pictures / "restored.png")
        assert heir.check(_KEY) == key, "the new box has another key"
        healthy(heir)
        arrived = arrived_since(bench, since, until, waiting)
        assert arrived >= waiting, f"{arrived} of {waiting} alerts of the dead box came"
    return f"{told.removeprefix('edge: ')}; flashed anew: restored, the same key, {arrived} alerts of the dead box arrived"


def a_stranger_gets_no_backup(bench: Bench) -> str:
    """A stick with other settings: nothing of the box comes onto it."""
    guest = bench.box()
    stick = bench.backup_stick(bench.settings.replace("id: box", "id: other"))
    guest.plug(stick)
    told = guest.wait("edge: expected a copy of this box's edge-config.yaml.*")
    guest.unplug()
    found = files_on(stick)
    assert ".backup" not in found, found
    assert "edge-backup.txt" in found, found
    return f"a stick with other settings: {told.strip().removeprefix('edge: ')}"
