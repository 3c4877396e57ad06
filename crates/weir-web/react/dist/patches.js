import { notifyManager } from "@tanstack/react-query";
const EVERY = 1e3;
const KEPT = 100;
function patchQueries(weir, queries, sessions, read) {
  const cache = queries.getQueryCache();
  const refetches = batchRefetches(queries, () => read().every ?? EVERY);
  const during = /* @__PURE__ */ new Map();
  const apply = (query, event) => {
    const { patch = merge, asOf = tsOf } = read();
    const { data, dataUpdatedAt, isInvalidated } = query.state;
    if (data === void 0) return;
    const [told, had] = [timeOf(event), asOf(data)];
    if (told != null && had != null && told < had) return;
    const next = patch(data, event);
    if (next === void 0) return refetches.add({ queryKey: query.queryKey, exact: true });
    queries.setQueryData(query.queryKey, next, { updatedAt: dataUpdatedAt });
    if (isInvalidated) query.invalidate();
  };
  const timeOf = (event) => (read().stale?.at ?? tsOfEvent)(event);
  const hear = (event) => {
    const { lists = [], detail, onEvent } = read();
    for (const queryKey2 of typeof lists === "function" ? lists(event) : lists) refetches.add({ queryKey: queryKey2 });
    const queryKey = detail?.(event);
    const query = queryKey && cache.find({ queryKey });
    if (query) {
      if (query.state.fetchStatus === "fetching") keep(query, event);
      apply(query, event);
    }
    onEvent?.(event);
  };
  const keep = (query, event) => {
    const kept = during.get(query.queryHash) ?? [];
    during.set(query.queryHash, kept);
    if (kept.length < KEPT) kept.push(event);
    else refetches.add({ queryKey: query.queryKey, exact: true });
  };
  const all = () => read().all.forEach((queryKey) => refetches.add({ queryKey }));
  const unsubscribe = onSettled(queries, (query, isFetched) => {
    const kept = during.get(query.queryHash) ?? [];
    during.delete(query.queryHash);
    if (isFetched) kept.forEach((event) => apply(query, event));
  });
  const { types, keys, from } = read();
  const subscription = weir.subscribe(sessions, hear, {
    ...types && { types },
    ...keys && { keys },
    ...from && { from },
    parse: (data) => (read().parse ?? JSON.parse)(data),
    stale: {
      at: timeOf,
      of: (event) => (read().stale?.of ?? resourceOf)(event)
    },
    onGap: (gap) => {
      all();
      read().onGap?.(gap);
    }
  });
  let open = from !== void 0;
  const opened = () => {
    const { state, by } = weir.status;
    if (open || !(state === "live" || state === "degraded" && by === "long-poll")) return;
    open = true;
    all();
  };
  const ignore = weir.on("status", opened);
  opened();
  return {
    close() {
      ignore();
      subscription.close();
      unsubscribe();
      refetches.end();
    }
  };
}
function batchRefetches(queries, every) {
  const cache = queries.getQueryCache();
  const due = /* @__PURE__ */ new Map();
  const again = /* @__PURE__ */ new Set();
  let timer;
  let last = -Infinity;
  const add = (filters) => {
    due.set(JSON.stringify(filters), filters);
    timer ??= setTimeout(flush, Math.min(Math.max(0, last + every() - Date.now()), every()));
  };
  const takeDue = () => {
    const found = new Set([...due.values()].flatMap((filters) => cache.findAll(filters)));
    due.clear();
    return found;
  };
  const flush = () => {
    timer = void 0;
    const found = takeDue();
    if (found.size > 0) last = Date.now();
    notifyManager.batch(() => {
      for (const { queryKey, queryHash, state } of found) {
        if (state.fetchStatus === "fetching") again.add(queryHash);
        else void queries.invalidateQueries({ queryKey, exact: true });
      }
    });
  };
  const unsubscribe = onSettled(queries, ({ queryHash, queryKey }) => {
    if (again.delete(queryHash)) add({ queryKey, exact: true });
  });
  const end = () => {
    unsubscribe();
    clearTimeout(timer);
    for (const query of takeDue()) query.invalidate();
  };
  return { add, end };
}
const onSettled = (queries, tell) => queries.getQueryCache().subscribe((change) => {
  const { type, query } = change;
  if (type === "removed") tell(query, false);
  if (type !== "updated" || query.state.fetchStatus === "fetching") return;
  tell(query, change.action.type === "success" && !change.action.manual);
});
const tsOf = (thing) => isObject(thing) && typeof thing["ts"] === "number" ? thing["ts"] : null;
const tsOfEvent = ({ value }) => tsOf(value);
const resourceOf = ({ key, session, value }) => JSON.stringify([session, key ?? (isObject(value) ? value["id"] : null)]);
const merge = (old, { value }) => isObject(old) && isObject(value) && isObject(value["patch"]) ? { ...old, ...value["patch"] } : void 0;
const isObject = (thing) => typeof thing === "object" && thing !== null && !Array.isArray(thing);
export {
  patchQueries
};
