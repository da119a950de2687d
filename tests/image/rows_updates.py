"""Rows about updates: good ones, bad ones, hostile ones."""

import time
from datetime import datetime

from bench import ACCEPTED, Bench, healthy, restart, slot
from guest import Guest
from workshop import OLDER, UPDATES

_FEWEST_WAITING = 3
_LAG_S = 30  # from a picture to the line of the journal about its alert, emulated
_OTHER = {"A": "B", "B": "A"}


def a_good_update_keeps_everything(bench: Bench) -> str:
    """By the installer's way: a stick. What waits in the outbox reaches the broker afterwards."""
    guest = bench.box()
    healthy(guest)
    former = slot(guest)
    guest.check("systemctl restart edge.service")  # thresholds are written at its end
    healthy(guest)
    kept = "sha256sum /etc/edge/edge.yaml /etc/edge/credentials/device.key; cat /etc/machine-id; stat -c '%i %W' /var/lib/edge/learned.db"
    before = guest.check(kept)
    bench.host.stop_broker()
    since = float(guest.check("date +%s"))
    waiting = committed(guest, since)
    until = float(guest.check("date +%s"))
    stick = bench.update_stick(bench.workshop.update("good"))
    began = time.monotonic()
    guest.plug(stick)
    guest.wait(r"edge: installed good\.raucb; starting again")
    installed = time.monotonic() - began
    guest.screen(bench.pictures / "installed.png")
    trial = guest.wait(r"EDGE-GATE slot=([AB]) is on trial")
    guest.wait(ACCEPTED)
    guest.screen(bench.pictures / "updated.png")
    guest.unplug()
    assert slot(guest) == _OTHER[former]
    assert f"slot={_OTHER[former]}" in trial
    assert f'IMAGE_VERSION="{UPDATES["good"]}"' in guest.check("cat /etc/os-release")
    assert guest.check(kept) == before
    bench.host.forget()
    bench.host.start_broker()
    arrived = arrived_since(bench, since, until, waiting)
    assert arrived >= waiting, f"{arrived} of {waiting} alerts of before the update came"
    return (
        f"after {guest.cuts} power cuts: slot {former} -> {_OTHER[former]}, installed in {installed:.0f} s, accepted {time.monotonic() - began:.0f} s"
        f" after the stick; {arrived} alerts of before arrived; settings, thresholds, key and id kept"
    )


def committed(guest: Guest, since: float) -> int:
    """How many messages of alerts the daemon has written to its outbox since a moment, once there are some."""
    ask = f"journalctl --unit=edge --since=@{since:.0f} --output=cat | grep -c 'edge.app: alert '"
    deadline = time.monotonic() + 600
    while (count := int(guest.run(ask).output)) < _FEWEST_WAITING:
        assert time.monotonic() < deadline, "no alert waits in the outbox"
        time.sleep(5)
    return count


def arrived_since(bench: Bench, since: float, until: float, wanted: int) -> int:
    """How many messages of alerts of that time have come, once as many as wanted have."""
    deadline = time.monotonic() + 300
    while True:
        times = {
            (a["id"], a["type"], a["at"]): datetime.fromisoformat(a["at"])
            for a in bench.host.alerts()
        }
        count = sum(since - _LAG_S <= at.timestamp() <= until for at in times.values())
        if count >= wanted or time.monotonic() > deadline:
            return count
        time.sleep(1)


def install(bench: Bench, guest: Guest, name: str) -> None:
    """Install a bad update, and start it."""
    bundle = bench.workshop.update(name)
    with bench.bundles(guest, bundle) as folder:
        guest.check(f"rauc install {folder / bundle.name}")
    restart(guest)


def rolls_back(bench: Bench, name: str, sign: str) -> str:
    """A bad update shows its fault, and the former slot runs again by itself."""
    guest = bench.box()
    healthy(guest)
    former = slot(guest)
    install(bench, guest, name)
    began = time.monotonic()
    seen = guest.wait(sign)
    guest.wait(rf"EDGE-GATE slot={former} accepted: the update in slot {_OTHER[former]} has failed")
    back = time.monotonic() - began
    healthy(guest)
    assert slot(guest) == former
    assert UPDATES[name] not in guest.check("cat /etc/os-release")
    return f"seen: {seen.strip()[:110]}; back in slot {former} after {back:.0f} s, daemon healthy"


def unhealthy_goes_back(bench: Bench) -> str:
    return rolls_back(bench, "unhealthy", r"EDGE-GATE slot=[AB] refused: the daemon .*")


def panic_goes_back(bench: Bench) -> str:
    return rolls_back(bench, "panic", r"Kernel panic.*")


def hang_goes_back(bench: Bench) -> str:
    return rolls_back(bench, "hang", r"EDGE-GATE slot=[AB] has not spoken in time.*")


def no_network_goes_back(bench: Bench) -> str:
    return rolls_back(bench, "no network", r"EDGE-GATE slot=[AB] refused: no interface.*")


def without_a_gate_it_stays(bench: Bench) -> str:
    """The same unhealthy update in an image without the gate: nothing brings the former slot back."""
    guest = bench.box()
    former = slot(guest)
    install(bench, guest, "unhealthy without a gate")
    guest.wait(rf"edge: slot {_OTHER[former]} of")
    time.sleep(10)
    deadline = time.monotonic() + 900
    while "not healthy" not in guest.run("edge health /etc/edge/edge.yaml").output:
        assert time.monotonic() < deadline
        time.sleep(5)
    guest.forget()  # GRUB says each line twice
    time.sleep(60)
    assert not guest.heard_since("EDGE-GATE|edge: slot"), "it went back without a gate"
    assert slot(guest) == _OTHER[former]
    bench.give_up()
    return f"unhealthy, and still in slot {_OTHER[former]} after 60 s"


def hostile_bundles_are_refused(bench: Bench) -> str:
    """Each by ``rauc install``; afterwards the same slot starts again."""
    guest = bench.box()
    former = slot(guest)
    bundles = bench.workshop.shop.hostile("9.0.0", OLDER)
    del bundles["sound"]
    refused = {}
    with bench.bundles(guest, *bundles.values()) as folder:
        for name, path in bundles.items():
            done = guest.run(f"rauc install {folder / path.name}")
            assert done.code, f"{name} was installed: {done.output}"
            said = [line for line in done.output.splitlines() if line.startswith("LastError: ")]
            refused[name] = " ".join(said).removeprefix("LastError: ")
            if "Pre-install" in refused[name]:  # the box's own check, which notes why
                refused[name] = guest.check("cat /run/edge/refused").strip()
    restart(guest)
    guest.wait(rf"EDGE-GATE slot={former} accepted")
    return "; ".join(f"{name}: {why[:90]}" for name, why in refused.items())


def a_sound_bundle_is_not(bench: Bench) -> str:
    """The same payload, signed by the release's key for this box, is installed."""
    guest = bench.box()
    with bench.bundles(guest, bench.workshop.shop.hostile("9.0.0", OLDER)["sound"]) as folder:
        guest.check(f"rauc install {folder}/sound.raucb")
    bench.give_up()
    return "installed; its payload is noise, so this box is thrown away"
