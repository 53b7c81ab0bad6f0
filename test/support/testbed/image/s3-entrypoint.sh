#!/bin/bash
# A whole Ceph cluster in one container, as small as it gets (one monitor, one OSD on a sparse file,
# no manager), for the sake of its S3 gateway on port 7480. Keys: S3_ACCESS_KEY, S3_SECRET_KEY.
# State lives in /srv/ceph; a second start uses it again.
set -euo pipefail
home=/srv/ceph
export CEPH_CONF=$home/ceph.conf
mkdir -p $home/{mon,osd,run}
cd $home
rm -f run/*

if [[ ! -e made ]]; then
  rm -rf mon/* osd/* keyring
  fsid=$(</proc/sys/kernel/random/uuid)
  osd=$(</proc/sys/kernel/random/uuid)
  # The class folder is spelled out because Debian's default for it is a relative path.
  cat >ceph.conf <<CONF
[global]
fsid = $fsid
mon host = v2:127.0.0.1:7300
public addr = 127.0.0.1
keyring = $home/keyring
run dir = $home/run
log file = $home/\$name.log
log to stderr = false
mon data = $home/mon
mon data avail warn = 1
mon data avail crit = 1
mon allow pool size one = true
mon max pg per osd = 1000
osd data = $home/osd
osd objectstore = bluestore
osd class dir = /usr/lib/$(uname -m)-linux-gnu/rados-classes
osd memory target = 939524096
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
bluestore block size = 42949672960
rgw frontends = beast port=7480
CONF
  ceph-authtool keyring --create-keyring --gen-key -n mon. --cap mon 'allow *'
  ceph-authtool keyring --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *'
  ceph-authtool keyring --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  monmaptool --create --clobber --addv a '[v2:127.0.0.1:7300]' --fsid "$fsid" monmap
  ceph-mon --mkfs -i a --monmap monmap --keyring keyring
  ceph-mon -i a
  ceph osd new "$osd"
  ceph auth add osd.0 -i keyring
  ceph-osd -i 0 --mkfs --osd-uuid "$osd"
  ceph-osd -i 0
  # The first call that needs a pool waits until the OSD is up.
  radosgw-admin user create --uid=test --display-name=test \
    --access-key="$S3_ACCESS_KEY" --secret-key="$S3_SECRET_KEY" >/dev/null
  touch made
else
  ceph-mon -i a
  ceph-osd -i 0
fi

exec radosgw -f -n client.admin --setuser root --setgroup root
