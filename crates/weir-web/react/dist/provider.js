"use client";
import { Weir } from "@weir/client";
import { createContext, createElement, useContext, useEffect, useMemo, useState } from "react";
import { useNewest, valueOf } from "./stable.js";
const Context = createContext(null);
function WeirProvider({ client, options, children }) {
  const own = useOwnClient(options ?? {});
  return createElement(Context.Provider, { value: client ?? own }, children);
}
function useWeir() {
  const weir = useContext(Context);
  if (!weir) throw new Error("no <WeirProvider> above: what uses weir has to be rendered inside of one");
  return weir;
}
function useOwnClient(options) {
  const newest = useNewest(options);
  const [life, setLife] = useState(0);
  const key = valueOf(options);
  const own = useMemo(() => ({ weir: new Weir(throughNewest(options, newest)), held: false, closed: false }), [key, life]);
  useEffect(() => {
    own.held = true;
    if (own.closed) setLife(life + 1);
    return () => {
      own.held = false;
      queueMicrotask(() => {
        if (own.held) return;
        own.closed = true;
        own.weir.close();
      });
    };
  }, [own]);
  return own.weir;
}
function throughNewest(options, newest) {
  const { token, fallback } = options;
  return {
    ...options,
    ...typeof token === "function" && {
      token: () => {
        const { token: now } = newest.current;
        return typeof now === "function" ? now() : token();
      }
    },
    ...typeof fallback === "object" && {
      fallback: {
        every: fallback.every,
        poll: (signal) => {
          const { fallback: now } = newest.current;
          return typeof now === "object" ? now.poll(signal) : fallback.poll(signal);
        }
      }
    }
  };
}
export {
  WeirProvider,
  useWeir
};
