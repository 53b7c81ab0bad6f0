#!/bin/sh
# Packages of the image: what Dropback runs, and what the collected programs are linked with.
# Installs only what the base image doesn't have. usage: install-packages.sh FOLDER_OF_DEBS
set -eu

first_that_exists() {
  for name in "$@"; do
    if apt-cache policy "$name" | grep -q '^  Candidate: [0-9]'; then
      echo "$name"
      return
    fi
  done
}

needs=
need() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null || needs="$needs $2"
}
need zstd zstd
need sqlite3 sqlite3
need setpriv util-linux
need cmp diffutils
[ -e /etc/ssl/certs/ca-certificates.crt ] || needs="$needs ca-certificates"
debs=$(find "$1" -name '*.deb')

if [ -n "$needs$debs" ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  # psql's own; and libstdc++ and libatomic for a Node that is no package.
  needs="$needs $(first_that_exists libreadline8t64 libreadline8) liblz4-1 libzstd1 libstdc++6 libatomic1"
  # shellcheck disable=SC2086
  apt-get -q -y install --no-install-recommends $needs $debs
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* /usr/share/doc/* \
  /usr/share/man/* /usr/share/locale/* "$1" /tmp/*.sh
