"use client";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { isAny } from "./hooks.js";
import { patchQueries } from "./patches.js";
import { useWeir } from "./provider.js";
import { useNewest, valueOf } from "./stable.js";
function useQueryPatches(sessions, options) {
  const weir = useWeir();
  const queries = useQueryClient();
  const newest = useNewest(options);
  const { types, keys, from } = options;
  useEffect(() => {
    if (!isAny(sessions)) return;
    const subscription = patchQueries(weir, queries, sessions, () => newest.current);
    return () => subscription.close();
  }, [weir, queries, valueOf([sessions, types, keys, from])]);
}
export {
  useQueryPatches
};
