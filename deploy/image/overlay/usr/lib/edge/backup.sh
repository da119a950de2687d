# What the scripts for a stick with the label EDGE_BACKUP share; read by `.`, not run.
# shellcheck shell=sh disable=SC2034
. /usr/lib/edge/common.sh

STICK=/run/edge/backup
RESTORED=/run/edge/restored   # a backup was restored since boot

# Whether a copy of the box's own edge-config.yaml lies on the stick. Whoever has it has the box's passwords already,
# so a backup, which holds them, tells him nothing new.
is_ours() {
    [ -f "$STICK/edge-config.yaml" ] && [ -e "$SITE/current/edge-config.sha256" ] &&
        [ "$(sha256sum <"$STICK/edge-config.yaml")" = "$(cat "$SITE/current/edge-config.sha256")" ]
}
