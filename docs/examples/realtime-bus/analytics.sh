#!/bin/sh
# A job that tells everybody how many are watching: another foreign producer, of redis-cli alone. It reads what the instances
# count in `metrics:sse`; what an instance that was killed had not told yet is missing there, so this is about right, not exact.
redis() { redis-cli -h "$REDIS_HOST" -p "$REDIS_PORT" "$@" 2>/dev/null; }

while sleep 2; do
    connections=$(redis HGET metrics:sse connections)
    disconnects=$(redis HGET metrics:sse disconnects)
    # Digits alone: some shells carry out what stands in other texts that they are to calculate with.
    case "${connections:-x}${disconnects:-x}" in *[!0-9]*) continue ;; esac
    redis XADD app:events '*' event audience.updated \
        payload "{\"watching\":$((connections - disconnects))}" timestamp "$(date +%s)000" >/dev/null
done
