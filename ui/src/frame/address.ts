/** The address holds all that is looked at: reading it, and changing parts of it. */

import { useCallback, useMemo } from "react";
import { useLocation, useSearch } from "wouter";
import { searchHere } from "./location";

export type Changes = Readonly<Record<string, string | readonly string[] | null>>;

export interface Address {
  readonly path: string;
  readonly at: URLSearchParams;
  get(name: string): string | null;
  all(name: string): string[];
  /** Changes parts; null takes one away. A step that Back should undo is `push`. */
  set(changes: Changes, how?: "push" | "replace"): void;
}

export function useAddress(): Address {
  const [path, go] = useLocation();
  const search = useSearch();
  const at = useMemo(() => new URLSearchParams(search), [search]);
  const set = useCallback(
    (changes: Changes, how: "push" | "replace" = "push") => {
      // Not from `at`: several changes may come before the page is drawn again.
      const wanted = changed(new URLSearchParams(searchHere()), changes).toString();
      const target = wanted === "" ? path : `${path}?${wanted}`;
      if (wanted !== searchHere()) go(target, { replace: how === "replace" });
    },
    [go, path],
  );
  return useMemo(
    () => ({
      path,
      at,
      get: (name: string) => at.get(name),
      all: (name: string) => at.getAll(name),
      set,
    }),
    [path, at, set],
  );
}

export function changed(from: URLSearchParams, changes: Changes): URLSearchParams {
  const found = new URLSearchParams(from);
  for (const [name, value] of Object.entries(changes)) {
    found.delete(name);
    if (value === null || value === "") continue;
    if (typeof value === "string") found.set(name, value);
    else for (const one of value) found.append(name, one);
  }
  return found;
}
