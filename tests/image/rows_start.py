"""Rows about the shipped image: it starts, alerts, and lets nobody in."""

import re
import time

from bench import ACCEPTED, Bench, restart, slot
from disk import Tree
from guest import Guest


def starts_and_alerts(bench: Bench) -> str:
    """From a disk as flashed, with edge-config.yaml put on its FAT partition, to an alert."""
    bench.host.forget()
    guest = bench.flashed = bench.new_box("flashed", own=False)
    began = time.monotonic()
    guest.power_on()
    guest.wait("edge: edge-config.yaml is accepted", ACCEPTED)
    accepted = time.monotonic() - began
    alert = bench.host.await_alert(1200)
    alerted = time.monotonic() - began
    assert alert["camera"] == "yard", alert
    assert alert["clock_synced"], f"the clock is not set: {alert}"
    assert bench.host.statuses()[-1] == "online", bench.host.statuses()
    guest.wait("edge: healthy: .*")
    guest.screen(bench.pictures / "started.png")
    return (
        f"slot accepted after {accepted:.0f} s, daemon running and its first alert over TLS after"
        f" {alerted:.0f} s, by {alert['model']['precision']}; clock synchronised"
    )


def speaks_to_its_broker_only(bench: Bench) -> str:
    """A broker with a certificate of another authority hears nothing of the same box."""
    assert bench.flashed is not None, "the box did not start"
    bench.host.stop_broker()
    bench.host.forget()
    bench.host.start_broker(stranger=True)
    try:
        deadline = time.monotonic() + 600
        while not (tries := bench.host.refused_handshakes()):
            assert time.monotonic() < deadline, "the box did not even try"
            time.sleep(1)
        assert not bench.host.heard, bench.host.heard
    finally:
        bench.flashed.cut()
        bench.host.stop_broker()
        bench.host.start_broker()
    return f"a broker of another authority: {tries} handshakes refused by the box, 0 messages"


def way_in(tree: Tree) -> list[str]:
    """What would let somebody into a root: passwords, logins, remote shells, agents of tests."""
    found = [
        f"password of {line.split(':')[0]}"
        for line in tree.read("etc/shadow").decode().splitlines()
        if line.split(":")[1] not in {"*", "!", "!*", "!!"}
    ]
    for pattern in (
        "usr/sbin/sshd",
        "usr/sbin/dropbear",
        "usr/sbin/in.telnetd",
        "usr/lib/edge-test",
        "root/.ssh/*",
    ):
        found += [str(path.relative_to(tree.folder)) for path in tree.folder.glob(pattern)]
    enabled = tree.folder / "etc/systemd/system"
    found += [
        link.name
        for link in enabled.glob("*.wants/*")
        if re.search(r"getty|ssh|debug-shell|test", link.name)
        and not ((enabled / re.sub("@.*", "@.service", link.name)).is_symlink())
    ]
    return found


def nobody_gets_in(bench: Bench) -> str:
    found = way_in(bench.workshop.shipped)
    assert not found, found
    return "no password, login, remote shell or test agent in the shipped root"


def the_agent_is_seen(bench: Bench) -> str:
    found = way_in(bench.workshop.own)
    assert "usr/lib/edge-test" in found, found
    return f"in the root of the tests: {', '.join(found)}"


def open_ports(guest: Guest) -> list[str]:
    """Sockets that others could reach; the DHCP client's waits for answers only."""
    lines = guest.check("ss --no-header --listening --numeric --tcp --udp").splitlines()
    return [
        line
        for line in lines
        if not re.search(r"(:68|:546)\s|127\.0\.0\.\d+(%\w+)?:|\[::1\]:", line)
    ]


def no_open_port(bench: Bench) -> str:
    guest = bench.box()
    found = open_ports(guest)
    assert not found, found
    rules = guest.check("nft list ruleset")
    assert "policy drop" in rules, rules
    return "ss lists nothing that listens; nftables drops what comes in"


def a_server_is_seen(bench: Bench) -> str:
    guest = bench.box()
    guest.check("systemd-run --unit=server /usr/bin/python3 -m http.server 8080")
    guest.check("for _ in $(seq 60); do ss -Hltn | grep -q 8080 && exit 0; sleep 1; done; exit 1")
    found = open_ports(guest)
    guest.check("systemctl stop server")
    assert any("8080" in line for line in found), found
    return "python3 -m http.server in the same box is listed"


def data_grows_and_identity_stays(bench: Bench) -> str:
    guest = bench.box()
    size = int(guest.check("df --output=size -B1M /data | tail -1"))
    assert size > 4000, f"{size} MiB"
    facts = "cat /data/machine-id /etc/machine-id; sha256sum </etc/edge/credentials/device.key"
    before = guest.check(facts)
    assert len(set(before.splitlines()[:2])) == 1, before
    assert guest.check("stat -c '%a %U' /etc/edge/credentials/device.key").strip() == "600 root"
    restart(guest)
    guest.wait(ACCEPTED)
    assert guest.check(facts) == before
    request = "mkdir -p /run/card && mount -o ro /dev/disk/by-label/EDGE_CONFIG /run/card"
    request += " && openssl req -in /run/card/edge-device.csr -noout -verify -subject 2>&1; umount /run/card"
    assert "CN = box" in guest.check(request)
    assert "ro," in guest.check("findmnt -n -o OPTIONS /").strip() + ","
    return f"data partition {size} MiB of 8 GiB; a request for a certificate lies on the card; machine id and key are the same after the next start (slot {slot(guest)})"


def another_box_is_another(bench: Bench) -> str:
    """Two boxes of one image: what must differ, differs."""
    facts = "cat /etc/machine-id; sha256sum </etc/edge/credentials/device.key"
    own = bench.box().check(facts)
    bench.give_up()
    with bench.new_box("other") as guest:
        guest.wait("edge: this box has made its own key")
        other = guest.check(facts)
    assert not set(own.split()[:2]) & set(other.split()[:2]), (own, other)
    return "a second box of the same image has another machine id and another key"
