#!/bin/sh
# Renders the rules from the two lists of names, then becomes nginx as a user who owns nothing but
# the socket's group.
set -eu

refuse() {
  echo "docker-proxy: $1" >&2
  exit 78
}

names=
for name in $(printf '%s' "${RESTORE_STOP_CONTAINERS:-},${RESTORE_START_CONTAINERS:-}" | tr ',' ' '); do
  printf '%s\n' "$name" | grep -Eq '^[A-Za-z0-9][A-Za-z0-9_.-]+$' ||
    refuse "only exact container names can be let through, not $name"
  # The engine also takes the beginning of an id for a name.
  printf '%s\n' "$name" | grep -Eq '[^0-9a-f]' || refuse "$name could be the id of another container"
  names="$names${names:+|}$(printf '%s' "$name" | sed 's/\./\\./g')"
done
[ -n "$names" ] || refuse 'RESTORE_STOP_CONTAINERS is not set'

socket=/var/run/docker.sock
[ -S "$socket" ] || refuse "$socket is not mounted"
export NAMES="$names"
envsubst '$NAMES' </etc/docker-proxy/nginx.conf.tmpl >/tmp/nginx.conf
# Opened again by name, for the access log.
chown 10102 /proc/self/fd/1 /proc/self/fd/2
group=$(stat -L -c %g "$socket")
exec setpriv --reuid=10102 --regid="$group" --clear-groups --inh-caps=-all --ambient-caps=-all \
  -- nginx -e stderr -c /tmp/nginx.conf
