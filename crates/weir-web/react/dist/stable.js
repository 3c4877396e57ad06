import { useInsertionEffect, useRef } from "react";
function useNewest(given) {
  const newest = useRef(given);
  useInsertionEffect(() => {
    newest.current = given;
  });
  return newest;
}
const valueOf = (given) => JSON.stringify(given, (_, part) => typeof part === "function" ? "()" : part);
export {
  useNewest,
  valueOf
};
