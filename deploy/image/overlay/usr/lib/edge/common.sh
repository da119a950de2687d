# What the scripts of the image share; read by `.`, not run.
# shellcheck shell=sh disable=SC2034

UPDATE=/data/update           # of updates: `pending`, and the ids of those that failed
FAILED=$UPDATE/failed         # a file for each bundle that was on trial in vain, a line for each time
PENDING=$UPDATE/pending       # lines `slot=`, `bundle=`, `state=`, `daemon=`, `online=`
GRUBENV=/boot/efi/EFI/BOOT/grubenv
SITE=/data/site               # a folder for each accepted file; `current` is a link to the newest
SPOKEN=/run/edge/gate         # the health gate has spoken since boot
REFUSED=/run/edge/refused     # why the latest update must not be installed

# say WORDS: to the journal, and to each console, since nobody can log in. The words may be a stranger's: echo would
# make of a backslash in them what moves a cursor.
say() {
    printf '%s\n' "$*"
    tr ' ' '\n' </sys/class/tty/console/active | while read -r console; do
        printf '%s\n' "$*" >"/dev/$console" || true
    done
}

# failures ID: how often a bundle was on trial in vain.
failures() {
    if [ -e "$FAILED/$1" ]; then wc -l <"$FAILED/$1"; else echo 0; fi
}

# The slot that runs: A or B.
this_slot() {
    sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' /proc/cmdline
}

other_slot() {
    if [ "$(this_slot)" = A ]; then echo B; else echo A; fi
}

# pending KEY: what is noted of the update in progress; empty where there is none.
pending() {
    [ ! -e "$PENDING" ] || sed -n "s/^$1=//p" "$PENDING"
}

# note KEY=VALUE...: write the note of the update in progress, in one piece and to the disk.
note() {
    printf '%s\n' "$@" >"$PENDING.new"
    sync "$PENDING.new"
    mv "$PENDING.new" "$PENDING"
    sync "$UPDATE"
}

forget_update() {
    rm -f "$PENDING"
    sync "$UPDATE"
}

# daemon_trouble [SECONDS]: why the daemon is not healthy, if it does not become so within the seconds; empty where it
# runs and its model has embedded the golden frames as it should.
daemon_trouble() {
    report=$(/usr/bin/edge health /etc/edge/edge.yaml --wait "${1:-0}" 2>&1) || printf "the daemon is %s\n" "$report"
}

# Why the box is not on the network; empty where an interface has an address that others reach.
network_trouble() {
    [ -n "$(ip -brief address show scope global up)" ] || echo "no interface has an address"
}

# open_stick DEVICE: mount a stick at $STICK, read-only until something is said; it is unmounted at the end.
open_stick() {
    mkdir -p "$STICK"
    mount -t vfat -o ro,nosuid,nodev,noexec,umask=0077,errors=continue "$1" "$STICK"
    trap 'umount "$STICK"' EXIT
}

# tell FILE WORDS: what came of a stick, into a file on it and to the consoles. Whoever reads it there may pull the stick
# out, so all that was written to it is on it before.
tell() {
    if mount -o remount,rw "$STICK"; then
        printf '%s\r\n' "$2" >"$STICK/$1" || true
        mount -o remount,ro "$STICK" || sync
    fi
    say "edge: $2"
}
