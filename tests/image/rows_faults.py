"""Rows about a box that loses its power, its disk space, or gets settings from an enemy."""

import base64
import subprocess
import time
from contextlib import suppress
from random import Random

from bench import ACCEPTED, Bench, healthy, restart, slot
from disk import partitions
from guest import Guest

_CUTS = 6
_LONGER_THAN_WATCHDOG_S = 90  # which resets after 30 s of the box's own time
_WATCHDOG_S = 30  # WatchdogSec of edge.service
_EMULATED_S = 10  # what the end and the start of a process take here, beyond RestartSec
_SPREAD_S = 6.0  # the first cut falls into the first so many seconds, the second into the next
_MAIN_PID = "systemctl show edge.service --property=MainPID --value"
_SEED = 20261130
_SITE = "device: {id: box}\nmqtt: {host: h%s}\ncameras: {y: {url: 'rtsp://h/y'}}\nprompts: {p: {text: x}}\n"
_BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(['*' + old] * 9)}]\n"
    for old, new in ("ab", "bc", "cd", "de", "ef", "fg")
)
# What is wrong, the file, and a word of the answer.
_HOSTILE = (
    ("no text", "\x00\x01 : [", "control character"),
    ("a bomb of aliases", _BOMB, "alias"),
    ("an unknown key", _SITE % "" + "shell: rm\n", "shell"),
    ("another folder for the state", _SITE % "" + "state_dir: /etc\n", "state_dir"),
    ("a secret file of the box as certificate", _SITE % ", tls: {ca: /etc/shadow}", "beside"),
    (
        "a line break in a network",
        _SITE % "" + 'network: {en0: {address: "10.1.2.3/24\\n[Route]"}}\n',
        "address",
    ),
)
_FORMER = "sha256sum /etc/edge/*.* /run/systemd/network/*"
_CARD = "mkdir -p /run/card && mount /dev/disk/by-label/EDGE_CONFIG /run/card"


class PowerCut(Exception):
    """The box is off: nothing more can be asked of it."""


def survives_power_cuts(bench: Bench) -> str:
    """Each cut falls into an installation, later each time; the next start is in the former slot."""
    random = Random(_SEED)
    guest = bench.box()
    former = slot(guest)
    bundle = bench.workshop.update("good")
    seconds = []
    for number in range(_CUTS):
        with suppress(PowerCut), bench.bundles(guest, bundle) as folder:
            guest.check(f"systemd-run --unit=install rauc install {folder / bundle.name}")
            guest.check("until grep -qs state=installing /data/update/pending; do sleep 0.2; done")
            seconds.append(random.uniform(number, number + 1) * _SPREAD_S)
            time.sleep(seconds[-1])
            guest.cut()
            raise PowerCut
        guest.power_on()
        guest.wait(rf"EDGE-GATE slot={former} accepted: an interrupted update is given up")
    cuts = ", ".join(f"{second:.1f}" for second in seconds)
    return f"power cut {cuts} s into the installation (seed {_SEED}): each time back in slot {former}, accepted"


def broken_slots_are_seen(bench: Bench) -> str:
    """A box whose only slot is overwritten: the same words never come."""
    guest = bench.new_box("hollow")
    part = partitions(bench.workshop.image)["rootfs-a"]
    subprocess.run(
        ["qemu-io", "-c", f"write -z {part.start} {64 << 20}", guest.disk],
        check=True, capture_output=True,
    )  # fmt: skip
    with guest:
        for _ in range(2):
            guest.wait("edge: slot [AB] of")
            guest.wait("edge: slot [AB] cannot be loaded")
            guest.wait("BdsDxe: starting")
        assert "EDGE-GATE" not in guest.log(), guest.log()
    return "a box whose only slot is overwritten says that it cannot be loaded, starts again, and is never accepted"


def survives_a_full_disk(bench: Bench) -> str:
    """Filled by the daemon's user: what the file system keeps for root is what settings are taken with."""
    guest = bench.box()
    healthy(guest)
    guest.check(_fill("runuser -u edge --", "/var/lib/edge", "%a"))
    left = guest.check("df --output=avail -BK /data | tail -1").strip()
    _put(guest, _written(bench.host.site(timezone="Europe/Berlin")))
    restart(guest)
    guest.wait(ACCEPTED, "edge: edge-config.yaml is accepted")
    guest.check(
        "systemctl start edge-config.service"
    )  # which is done when it has put them in their places
    assert "Berlin" in guest.check("cat /etc/edge/edge.yaml")
    said = guest.run("edge health /etc/edge/edge.yaml --wait 30").output.strip()
    assert not open_failures(guest), open_failures(guest)
    bench.host.forget()
    guest.check("rm /var/lib/edge/filler*")
    healthy(guest)
    bench.host.await_alert(600)
    return (
        f"full ({left} left): started, slot accepted, new settings taken, daemon {said[:60]}; with room again:"
        " healthy, alerts arrive"
    )


def a_fuller_disk_takes_none(bench: Bench) -> str:
    """Without what is kept for root either, the same settings are refused, and the former ones stay."""
    guest = bench.box()
    before = guest.check(_FORMER)
    # The daemon and the journal make room for others when the disk is full.
    guest.check("systemctl stop edge.service; journalctl --quiet --rotate --vacuum-time=1s")
    guest.check(_fill("", "/data", "%f"))
    error = _settings(guest, _written(bench.host.site(timezone="Europe/Rome")))
    assert error, "settings were taken without room"
    assert guest.check(_FORMER) == before
    bench.give_up()
    return f"with root's share of the disk used up too: {error.splitlines()[0][:110]}; the former settings stay"


def _fill(by: str, folder: str, free: str) -> str:
    """A command that fills the data partition as somebody: nearly all at once, the rest in small pieces.

    ``free`` is what ``stat`` calls the blocks that are free: ``%a`` for others, ``%f`` for root.
    """
    most = f"$(($(stat -f -c '{free} * %S' /data) - (64 << 20)))"
    fill = f"{by} dd if=/dev/zero bs=4k of={folder}/filler"
    return (
        f"{by} fallocate --length {most} {folder}/filler"
        # What is written in one go is reckoned with more room than it takes.
        f" && for n in 1 2 3; do {fill}.$n 2>/dev/null; sync; done; ! {fill}.last count=1 2>/dev/null"
    )


def open_failures(guest: Guest) -> str:
    """Units of the image itself that failed; the daemon, which needs the disk, apart."""
    listed = guest.check(
        "systemctl list-units --failed --no-legend --plain 'edge-*' systemd-networkd.service nftables.service"
    )
    return listed.strip()


def keeps_former_settings(bench: Bench) -> str:
    """Each hostile file leaves the settings as they were, and says why beside itself."""
    guest = bench.box()
    before = guest.check(_FORMER)
    said = {}
    for name, text, word in _HOSTILE:
        error = _settings(guest, _written(text))
        assert word in error, f"{name}: expected {word!r} in edge-config.error.txt, found {error!r}"
        assert "Traceback" not in error, error
        assert guest.check(_FORMER) == before, name
        said[name] = error.splitlines()[0].removeprefix("edge: ")[:80]
    error = _settings(
        guest, "dd if=/dev/zero of=/run/card/edge-config.yaml bs=1M count=8 2>/dev/null"
    )
    assert "at most" in error, error
    guest.screen(bench.pictures / "refused.png")
    guest.wait("edge-config.yaml is refused, the former settings stay")
    card = guest.check("readlink -f /dev/disk/by-label/EDGE_CONFIG").strip()
    guest.check(f"dd if={card} of=/run/card.img bs=1M; dd if=/dev/urandom of={card} bs=1M count=4")
    guest.check("udevadm settle; systemctl restart edge-config.service")
    assert guest.check(_FORMER) == before, "a card of noise"
    guest.wait("cannot read the partition EDGE_CONFIG; the former settings stay")
    guest.check(f"dd if=/run/card.img of={card} bs=1M; sync; udevadm settle")
    return "; ".join(f"{name}: {why}" for name, why in said.items())


def takes_a_good_file(bench: Bench) -> str:
    guest = bench.box()
    error = _settings(guest, _written(bench.host.site(device={"id": "renamed"})))
    assert not error, error
    assert "renamed" in guest.check("cat /etc/edge/edge.yaml")
    bench.give_up()
    return "a file without mistakes is taken, and removes edge-config.error.txt"


def _written(text: str) -> str:
    coded = base64.b64encode(text.encode()).decode()
    return f"echo {coded} | base64 -d >/run/card/edge-config.yaml"


def _put(guest: Guest, write: str) -> None:
    guest.check(f"{_CARD}; {write}; umount /run/card")


def _settings(guest: Guest, write: str) -> str:
    """Put a file on the card as an installer does, have it read, and return what lies beside it then."""
    _put(guest, write)
    guest.check("systemctl restart edge-config.service")
    return guest.check(
        f"{_CARD}; cat /run/card/edge-config.error.txt 2>/dev/null; umount /run/card"
    ).strip()


def hardware_watchdog_resets(bench: Bench) -> str:
    """A kernel that stops and may not restart itself: the chip-set's watchdog does it."""
    guest = bench.box()
    former = slot(guest)
    device = guest.check(
        "cat /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/state"
    ).split("\n")
    _stop_kernel(guest)
    began = time.monotonic()
    guest.wait(r"edge: slot [AB] of", seconds=300)
    reset = time.monotonic() - began
    guest.wait(ACCEPTED)
    return f"{device[0]} ({device[1]}): restarted {reset:.0f} s after the kernel stopped (slot {former} before)"


def without_a_watchdog_it_stays(bench: Bench) -> str:
    """The same kernel, with the watchdog given back before."""
    guest = bench.box()
    folder = "/run/systemd/system.conf.d"
    none = f"mkdir -p {folder} && printf '[Manager]\\nRuntimeWatchdogSec=0\\n' >{folder}/z.conf"
    guest.check(f"{none} && systemctl daemon-reexec")
    guest.check("until grep -q inactive /sys/class/watchdog/watchdog0/state; do sleep 1; done")
    _stop_kernel(guest)
    time.sleep(_LONGER_THAN_WATCHDOG_S)
    assert not guest.heard_since("edge: slot"), "it started again without a watchdog"
    bench.give_up()
    return f"without a watchdog it is still stopped after {_LONGER_THAN_WATCHDOG_S} s"


def _stop_kernel(guest: Guest) -> None:
    crash = "(sleep 1; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &"
    guest.run(f"echo 0 >/proc/sys/kernel/panic; {crash}")
    guest.wait("Kernel panic")


def a_stuck_daemon_is_started_again(bench: Bench) -> str:
    """Stopped in the middle of its work, it no longer feeds systemd's watchdog."""
    guest = bench.box()
    healthy(guest)
    former = _stop_daemon(guest)
    changed = f"while [ $({_MAIN_PID}) = {former} ] || [ $({_MAIN_PID}) = 0 ]; do sleep 0.5; done"
    again = int(guest.check(f"began=$(date +%s); {changed}; echo $(($(date +%s) - began))"))
    assert again <= _WATCHDOG_S + _EMULATED_S, f"started again after {again} s"
    assert "Watchdog timeout" in guest.check("journalctl --unit=edge --boot --output=cat")
    return f"started again {again} s after it was stopped, and {healthy(guest)[:80]}"


def without_its_watchdog_it_stays_stuck(bench: Bench) -> str:
    """The same daemon in a unit without WatchdogSec."""
    guest = bench.box()
    folder = "/run/systemd/system/edge.service.d"
    none = f"mkdir -p {folder} && printf '[Service]\\nWatchdogSec=0\\n' >{folder}/z.conf"
    guest.check(f"{none} && systemctl daemon-reload && systemctl restart edge.service")
    healthy(guest)
    former = _stop_daemon(guest)
    time.sleep(2 * _WATCHDOG_S)
    assert int(guest.check(_MAIN_PID)) == former, "it was started again without a watchdog"
    bench.give_up()
    return f"without WatchdogSec it is still stopped after {2 * _WATCHDOG_S} s"


def _stop_daemon(guest: Guest) -> int:
    pid = int(guest.check(_MAIN_PID))
    guest.check(f"kill -STOP {pid}")
    return pid
