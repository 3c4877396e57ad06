"use client";
import { useCallback, useEffect, useState, useSyncExternalStore } from "react";
import { useWeir } from "./provider.js";
import { useNewest, valueOf } from "./stable.js";
function useSubscription(sessions, handle, options = {}) {
  useEvents(sessions, (event) => handle(event), options);
}
function useLatest(sessions, options = {}) {
  const [latest, setLatest] = useState(null);
  const asked = useEvents(sessions, (event, of) => setLatest({ of, event }), options);
  return latest?.of === asked ? latest.event : null;
}
const unopened = { state: "idle", by: "stream", failures: 0, retryAt: null, problem: null };
function useStatus() {
  const weir = useWeir();
  const subscribe = useCallback((changed) => weir.on("status", changed), [weir]);
  return useSyncExternalStore(
    subscribe,
    () => weir.status,
    () => unopened
  );
}
function useEvents(sessions, handle, options) {
  const weir = useWeir();
  const newest = useNewest({ handle, options });
  const asked = valueOf([sessions, options]);
  useEffect(() => {
    if (!isAny(sessions)) return;
    const hear = (event) => newest.current.handle(event, asked);
    const subscription = weir.subscribe(sessions, hear, throughNewest(options, () => newest.current.options));
    return () => subscription.close();
  }, [weir, asked]);
  return asked;
}
const isAny = (sessions) => !!sessions && sessions.length > 0;
function throughNewest(options, newest) {
  const { parse, stale } = options;
  const of = stale?.of;
  return {
    ...options,
    ...parse && { parse: (data) => (newest().parse ?? parse)(data) },
    ...stale && {
      stale: {
        at: (event) => (newest().stale ?? stale).at(event),
        ...of && { of: (event) => (newest().stale?.of ?? of)(event) }
      }
    },
    onGap: (gap) => newest().onGap?.(gap)
  };
}
export {
  isAny,
  throughNewest,
  useLatest,
  useStatus,
  useSubscription
};
