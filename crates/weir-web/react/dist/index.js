import { useLatest, useStatus, useSubscription } from "./hooks.js";
import { useWeir, WeirProvider } from "./provider.js";
export {
  WeirProvider,
  useLatest,
  useStatus,
  useSubscription,
  useWeir
};
