# What the scripts for a stick with the label EDGE_BACKUP share; read by `.`, not run.
# shellcheck shell=sh disable=SC2034
. /usr/lib/edge/common.sh

STICK=/run/edge/backup
TRIED=/run/edge/restore-tried   # since boot, a backup was restored, or refused
BEFORE=/data/restored-from      # names of the backups of boxes whose place this one has taken

# own_backups: the backups of this box on the stick, also of those before it that had its name; the oldest first.
own_backups() {
    find "$STICK" -maxdepth 1 -name "$(cat "$SITE/current/hostname")-????????.backup" -printf '%T@ %f\n' | sort -n |
        cut -d ' ' -f 2-
}

# Whether a copy of the box's own edge-config.yaml lies on the stick. Whoever has it has the box's passwords already,
# so a backup, which holds them, tells him nothing new.
is_ours() {
    [ -f "$STICK/edge-config.yaml" ] && [ -e "$SITE/current/edge-config.sha256" ] &&
        [ "$(sha256sum <"$STICK/edge-config.yaml")" = "$(cat "$SITE/current/edge-config.sha256")" ]
}
