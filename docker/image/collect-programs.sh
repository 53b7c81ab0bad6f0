#!/bin/sh
# Takes single programs out of packages that would bring much more with them (postgresql-client
# depends on all of Perl): ROOT/root is copied into the image as it is, ROOT/debs is installed there.
# What the base image already has is left alone. usage: collect-programs.sh ROOT "MAJORS"
set -eu
root=$1/root
debs=$1/debs
majors=$2
mkdir -p "$root/usr" "$debs"
cd /tmp

apt_get() {
  DEBIAN_FRONTEND=noninteractive apt-get -q -y "$@"
}

has_candidate() {
  apt-cache policy "$1" | grep -q '^  Candidate: [0-9]'
}

# Debian has one major of PostgreSQL; the project's own repository has the others.
# https://wiki.postgresql.org/wiki/Apt
add_postgresql_repository() {
  apt_get install --no-install-recommends ca-certificates curl gnupg
  key=/usr/share/keyrings/postgresql.asc
  curl -fsSL --retry 3 -o "$key" https://www.postgresql.org/media/keys/ACCC4CF8.asc
  gpg --show-keys --with-colons "$key" | grep -q '^fpr:.*:B97B0AFCAA1A47F044F244A07FCC7D46ACCC4CF8:'
  # shellcheck disable=SC1091
  . /etc/os-release
  echo "deb [signed-by=$key] https://apt.postgresql.org/pub/repos/apt $VERSION_CODENAME-pgdg main" \
    >/etc/apt/sources.list.d/postgresql.list
  apt_get update
}

missing=
for major in $majors; do
  [ -x "/usr/lib/postgresql/$major/bin/pg_dump" ] || missing="$missing $major"
done
age_missing=
command -v age >/dev/null || age_missing=yes
[ -n "$missing$age_missing" ] || exit 0

apt_get update
for major in $missing; do
  has_candidate "postgresql-client-$major" || { add_postgresql_repository; break; }
done

for major in $missing; do
  apt_get download "postgresql-client-$major"
  dpkg-deb -x "postgresql-client-$major"_*.deb "client-$major"
  mkdir -p "$root/usr/lib/postgresql/$major/bin"
  for program in pg_dump pg_restore psql pg_isready; do
    cp "client-$major/usr/lib/postgresql/$major/bin/$program" "$root/usr/lib/postgresql/$major/bin/"
  done
done
if [ -n "$missing" ]; then
  # One library serves all majors: the newest.
  apt_get download libpq5
  mv libpq5_*.deb "$debs/"
fi

if [ -n "$age_missing" ]; then
  apt_get download age
  dpkg-deb -x age_*.deb age-package
  mkdir -p "$root/usr/bin"
  cp age-package/usr/bin/age age-package/usr/bin/age-keygen "$root/usr/bin/"
fi
