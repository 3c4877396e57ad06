#!/usr/bin/env bash
# Publishes one event, with curl. Usage: publish.sh SESSION DATA [TYPE]; needs jq to write names into a URL.
# WEIR_URL says where weir is, and WEIR_TOKEN holds the token, where one is needed.
set -euo pipefail

[ $# -ge 2 ] || { echo 'usage: publish.sh SESSION DATA [TYPE]' >&2; exit 2; }

session=$(jq -rn --arg text "$1" '$text | @uri')
type=$(jq -rn --arg text "${3-}" '$text | @uri')
url="${WEIR_URL-http://127.0.0.1:8080}/v1/sessions/$session/events${type:+?type=$type}"

# One key for all tries: so an event whose answer was lost is not published twice.
key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

# curl repeats by itself what got no answer, and 408, 429 and 5xx, after `Retry-After` or 1, 2, 4 … s. It has to have given
# up before weir forgets the key, which it does after five minutes. The token stands in no list of processes, and without line
# ends, after which curl would send another header. A session may be called `..`.
status=$(
    { [ -z "${WEIR_TOKEN-}" ] || echo "Authorization: Bearer $(LC_ALL=C tr -cd '!-~' <<<"$WEIR_TOKEN")"; } |
        curl --path-as-is --silent --show-error --request POST --header @- --header "Idempotency-Key: $key" \
            --header 'Content-Type: text/plain; charset=utf-8' --data-raw "$2" \
            --max-time 15 --retry 20 --retry-all-errors --retry-max-time 240 \
            --output "$answer" --write-out '%{http_code}' "$url"
)

if [ "$status" = 201 ]; then
    jq -r .id "$answer"
else
    echo "not published: $(cat "$answer")" >&2
    exit 1
fi
