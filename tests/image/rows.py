"""The rows: what goes wrong, what is promised, how it is seen, and that the check can fail."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import rows_backup as backup
import rows_faults as faults
import rows_start as start
import rows_updates as updates
from bench import Bench

Step = Callable[[Bench], str]


@dataclass(frozen=True)
class Row:
    """One row. An oracle and a control return what they saw, or raise ``AssertionError``.

    Attributes:
        id: Its name on the page.
        fault: What goes wrong.
        promise: What is promised then.
        oracle: Sees that it is kept.
        control: Sees that the oracle can fail.
        updates: Updates that it installs.
        same_box: Whether it goes on with the box of the row before.
    """

    id: str
    fault: str
    promise: str
    oracle: Step
    control: Step | None = None
    updates: Sequence[str] = ()
    same_box: bool = False


ROWS = (
    Row(
        "I1",
        "nothing: a flashed disk and a file edge-config.yaml",
        "without a shell it comes to alerts of a real RTSP camera at a broker over TLS, with its clock set",
        start.starts_and_alerts,
        start.speaks_to_its_broker_only,
    ),
    Row(
        "I2",
        "somebody wants to log in",
        "no password, login, remote shell or agent of the tests is in the shipped image",
        start.nobody_gets_in,
        start.the_agent_is_seen,
    ),
    Row(
        "I3",
        "somebody in the network tries the box's ports",
        "nothing listens, and what comes in is dropped",
        start.no_open_port,
        start.a_server_is_seen,
    ),
    Row(
        "I4",
        "a disk larger than the image; many boxes of one image",
        "the data partition grows; machine id and key are the box's own and stay; the root is read-only",
        start.data_grows_and_identity_stays,
        start.another_box_is_another,
    ),
    Row(
        "P1",
        "the power fails six times during an installation",
        "each time the former slot starts; U1 then updates the same box",
        faults.survives_power_cuts,
        faults.broken_slots_are_seen,
        updates=["good"],
    ),
    Row(
        "U1",
        "a good update, on a stick",
        "the other slot runs it; settings, thresholds, key and waiting alerts are kept",
        updates.a_good_update_keeps_everything,
        updates=["good"],
        same_box=True,
    ),
    Row(
        "U2",
        "an update whose model is damaged: the daemon never becomes healthy",
        "the former slot runs again by itself",
        updates.unhealthy_goes_back,
        updates.without_a_gate_it_stays,
        updates=["unhealthy", "unhealthy without a gate"],
    ),
    Row(
        "U3",
        "an update whose kernel panics",
        "the former slot runs again by itself",
        updates.panic_goes_back,
        updates=["panic"],
    ),
    Row(
        "U4",
        "an update that hangs before its services",
        "the former slot runs again by itself",
        updates.hang_goes_back,
        updates=["hang"],
    ),
    Row(
        "U5",
        "an update without a network",
        "the former slot runs again by itself",
        updates.no_network_goes_back,
        updates=["no network"],
    ),
    Row(
        "U6",
        "bundles of another authority, for another purpose, expired, for another box, flipped, cut, older, plain",
        "refused when they are installed; the same slot starts again",
        updates.hostile_bundles_are_refused,
        updates.a_sound_bundle_is_not,
    ),
    Row(
        "P2",
        "the data partition is full",
        "the box starts and takes settings; with room again its alerts arrive",
        faults.survives_a_full_disk,
        faults.a_fuller_disk_takes_none,
    ),
    Row(
        "P3",
        "an edge-config.yaml from an enemy or a tired installer",
        "the former settings stay, and edge-config.error.txt says why",
        faults.keeps_former_settings,
        faults.takes_a_good_file,
    ),
    Row(
        "P4",
        "the kernel stops and does not restart itself",
        "the watchdog of the chip-set restarts the box",
        faults.hardware_watchdog_resets,
        faults.without_a_watchdog_it_stays,
    ),
    Row(
        "P5",
        "the box breaks; another one is flashed in its place",
        "with its backup on a stick the new one goes on under its name: key, and alerts that the dead one had not delivered",
        backup.a_new_box_takes_the_place_of_a_dead_one,
        backup.a_stranger_gets_no_backup,
    ),
    Row(
        "P6",
        "the daemon is stuck",
        "systemd starts it again within WatchdogSec, 30 s, and some seconds",
        faults.a_stuck_daemon_is_started_again,
        faults.without_its_watchdog_it_stays_stuck,
    ),
)
