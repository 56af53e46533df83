/** The address holds all that is looked at: reading it, and changing parts of it. */

import { useMemo } from "react";
import { navigate, pathHere, searchHere, useSearchHere } from "./location";

export type Changes = Readonly<Record<string, string | readonly string[] | null>>;

export interface Address {
  readonly at: URLSearchParams;
  get(name: string): string | null;
  all(name: string): string[];
  /** Changes parts; null takes one away. A step that Back should undo is `push`. */
  set(changes: Changes, how?: "push" | "replace"): void;
}

export function useAddress(): Address {
  const search = useSearchHere();
  return useMemo(() => {
    const at = new URLSearchParams(search);
    return { at, get: (name) => at.get(name), all: (name) => at.getAll(name), set };
  }, [search]);
}

function set(changes: Changes, how: "push" | "replace" = "push"): void {
  // Not from what was drawn: several changes may come before the page is drawn again.
  const wanted = changed(new URLSearchParams(searchHere()), changes).toString();
  if (wanted === searchHere()) return;
  navigate(wanted === "" ? pathHere() : `${pathHere()}?${wanted}`, { replace: how === "replace" });
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
