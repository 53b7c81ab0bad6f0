#!/bin/sh
# db-backup, db-restore and dropback, whichever name it is called by; options alone are dropback's,
# and anything else is run as it is.
#
# As root (the image's default) it makes the folders of fresh mounts usable and becomes PUID:PGID;
# `docker compose exec db-restore dropback …` takes the same way. As any other user it changes
# nothing. It never touches what it didn't create, save an empty folder that Docker made as root
# because a bind mount's source did not exist.
set -eu

say() {
  echo "dropback: $*" >&2
}

entered=
program=${0##*/}
if [ "$program" = entrypoint.sh ]; then
  # Called by become_user, below.
  if [ "${1:-}" = --entered ]; then
    entered=yes
    shift
  fi
  case ${1:-} in
    '' | -*) program=dropback ;;
    *) program=$1; shift ;;
  esac
fi

uid=${PUID:-1000}
gid=${PGID:-1000}

is_empty() {
  [ -z "$(ls -A "$1" 2>/dev/null || echo unreadable)" ]
}

# Gives a folder that we or Docker just made to PUID; leaves every other one alone.
ensure_folder() {
  if [ ! -e "$1" ]; then
    mkdir "$1" 2>/dev/null || return 0
  elif [ "$(stat -c %u "$1")" != 0 ] || ! is_empty "$1"; then
    return 0
  fi
  chown "$uid:$gid" "$1" 2>/dev/null || true
}

# Whoever owns the socket's group may talk to Docker.
socket_group() {
  case ${DOCKER_HOST:-unix:///var/run/docker.sock} in
    unix://*) socket=${DOCKER_HOST:-unix:///var/run/docker.sock} ;;
    *) return 0 ;;
  esac
  socket=${socket#unix://}
  if [ -S "$socket" ]; then stat -L -c %g "$socket"; fi
}

# Whether a file has such a line, as PUID sees it: without DAC_OVERRIDE root can't read what is
# PUID's alone.
has_line() {
  setpriv --reuid="$uid" --regid="$gid" --clear-groups -- grep -q "$1" "$2" 2>/dev/null
}

# Files that DATABASES_FILE names for addresses, one a line: in YAML or JSON, quoted or not.
address_files() {
  setpriv --reuid="$uid" --regid="$gid" --clear-groups -- \
    grep -Eo "DATABASE_URL_FILE[\"']?[[:space:]]*:[[:space:]]*[\"']?[^\"',}[:space:]]+" "$1" 2>/dev/null |
    sed "s/^[^:]*:[[:space:]]*[\"']\{0,1\}//"
}

# True where an entry is a file of SQLite: by its address, by the file that has it, or by its path.
has_sqlite_entry() {
  if has_line 'sqlite:\|RESTORE_SQLITE_PATH' "$1"; then return 0; fi
  address_files "$1" | {
    while read -r file; do has_line '^postgres' "$file" || exit 0; done
    exit 1
  }
}

# True where files of another user have to be read and written as that user.
is_sqlite() {
  if [ -n "${DATABASES_FILE:-}" ]; then has_sqlite_entry "$DATABASES_FILE"; return; fi
  case ${DATABASE_URL:-}${RESTORE_SQLITE_PATH:+sqlite:} in
    sqlite:* | *sqlite:) return 0 ;;
    ?*) return 1 ;;
  esac
  [ -n "${DATABASE_URL_FILE:-}" ] && ! has_line '^postgres' "$DATABASE_URL_FILE"
}

# Whether the container has all of these capabilities, given as a mask.
has_capabilities() {
  effective=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
  [ $((0x$effective & $1)) -eq $(($1)) ]
}

# Whose container this is: what its first process, behind an init, was started as.
daemon_here() {
  for name in db-backup db-restore; do
    if tr '\0' '\n' </proc/1/cmdline | grep -Eqx "(.*/)?$name(\.js)?"; then echo "$name"; fi
  done
}

become_user() {
  case $uid$gid in
    *[!0-9]*) say "PUID and PGID must be numbers"; exit 78 ;;
  esac
  case $program in
    db-backup) ensure_folder "${BACKUP_DIR:-/backups}" ;;
    db-restore)
      incoming=${RESTORE_WATCH_DIR:-/restore/incoming}
      ensure_folder "${incoming%/*}"
      ;;
  esac
  groups=$gid
  socket=$(socket_group)
  [ -z "$socket" ] || groups=$gid,$socket
  capabilities='-all'
  # To take the socket's group away from database programs, or to work as a file's owner. Programs
  # themselves are started with none.
  if { [ -n "$socket" ] || is_sqlite; } && has_capabilities 0xe0; then
    capabilities=$capabilities,+setuid,+setgid,+kill
  fi
  # To take in a drop that root copied and only root may read, as `sudo cp` of a backup leaves it.
  if [ "$program" = db-restore ] && has_capabilities 0x1; then
    capabilities=$capabilities,+chown
  fi
  export HOME=/tmp
  exec setpriv --reuid="$uid" --regid="$gid" --groups="$groups" \
    --inh-caps="$capabilities" --ambient-caps="$capabilities" \
    -- /usr/local/bin/entrypoint.sh --entered "$program" "$@"
}

if [ -z "$entered" ] && [ "$(id -u)" = 0 ]; then become_user "$@"; fi

case $program in
  db-backup | db-restore)
    wait=--import=/app/image/wait-for-database.mjs
    case " $* " in
      *' --help '* | *' --version '*) wait= ;;
    esac
    # Small rather than fast: docs/performance.md, "Memory and start".
    export MALLOC_ARENA_MAX=1
    exec node --max-semi-space-size=1 --no-opt --no-maglev --no-sparkplug --expose-gc ${wait:+"$wait"} \
      "/app/dist/bin/$program.js" "$@"
    ;;
  dropback)
    export DROPBACK_DAEMON="${DROPBACK_DAEMON:-$(daemon_here)}"
    exec node /app/dist/bin/dropback.js "$@"
    ;;
  *) exec "$program" "$@" ;;
esac
