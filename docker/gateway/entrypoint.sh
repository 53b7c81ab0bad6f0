#!/bin/sh
# Renders the maintenance page and the configuration, then becomes nginx.
set -eu

# As text in HTML, attributes included; control characters are dropped.
escaped() {
  printf '%s' "$1" | tr -d '\000-\037\177' |
    sed -e 's/&/\&amp;/g' -e 's/</\&lt;/g' -e 's/>/\&gt;/g' -e 's/"/\&quot;/g' -e "s/'/\&#39;/g"
}

refuse() {
  echo "gateway: $1" >&2
  exit 78
}

matches() {
  printf '%s\n' "$1" | grep -Eq "$2"
}

link=${MAINTENANCE_CONTACT_LINK:-}
label=${MAINTENANCE_CONTACT_LABEL:-}
email=${MAINTENANCE_CONTACT_EMAIL:-}

# Anything else (javascript: for one) would run in the visitor's browser.
if [ -n "$link" ] && ! matches "$link" '^(https?://|mailto:|tel:)'; then
  echo 'gateway: MAINTENANCE_CONTACT_LINK is left out: it must begin with https://, http://, mailto: or tel:' >&2
  link=
fi
if [ -n "$email" ] && ! matches "$email" '^[^[:space:]@]+@[^[:space:]@]+$'; then
  echo 'gateway: MAINTENANCE_CONTACT_EMAIL is left out: it is no address' >&2
  email=
fi

MAINTENANCE_CONTACT_LINK=$(escaped "$link")
MAINTENANCE_CONTACT_LABEL=$(escaped "${label:-$link}")
MAINTENANCE_CONTACT_EMAIL=$(escaped "$email")
MAINTENANCE_CONTACT_HIDDEN=
[ -n "$link$label$email" ] || MAINTENANCE_CONTACT_HIDDEN=hidden
export MAINTENANCE_CONTACT_LINK MAINTENANCE_CONTACT_LABEL MAINTENANCE_CONTACT_EMAIL MAINTENANCE_CONTACT_HIDDEN

export WEB_UPSTREAM="${WEB_UPSTREAM:-web:8000}"
export STATUS_UPSTREAM="${STATUS_UPSTREAM:-db-restore:8080}"
export GATEWAY_MAX_BODY="${GATEWAY_MAX_BODY:-50m}"
for upstream in "$WEB_UPSTREAM" "$STATUS_UPSTREAM"; do
  matches "$upstream" '^[A-Za-z0-9_.-]+:[0-9]+$' || refuse "an upstream must be name:port, not $upstream"
done
matches "$GATEWAY_MAX_BODY" '^[0-9]+[kmg]?$' || refuse 'GATEWAY_MAX_BODY must be a size, for example 50m'

# Only these are filled in: all other dollar signs are nginx's own, or the page's.
envsubst '$MAINTENANCE_CONTACT_LINK $MAINTENANCE_CONTACT_LABEL $MAINTENANCE_CONTACT_EMAIL $MAINTENANCE_CONTACT_HIDDEN' \
  </etc/gateway/maintenance.html.tmpl >/tmp/maintenance.html
envsubst '$WEB_UPSTREAM $STATUS_UPSTREAM $GATEWAY_MAX_BODY' \
  </etc/gateway/nginx.conf.tmpl >/tmp/nginx.conf

exec nginx -e stderr -c /tmp/nginx.conf
