#!/bin/sh
# Makes the secrets of compose.yaml that are not there yet. The containers have users of their own, so the files can be read
# by everybody, and the folder by you alone.
set -eu
cd "$(dirname "$0")"

mkdir -p -m 0700 secrets
for name in redis-password token-secret admin-token grafana-password; do
    [ -s "secrets/$name" ] && continue
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$name"
    chmod 0644 "secrets/$name"
    echo "made secrets/$name"
done
