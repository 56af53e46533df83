/** What a reader prefers, kept in this browser. */

import { useSyncExternalStore } from "react";

export interface Settings {
  readonly theme: "system" | "light" | "dark";
  readonly density: "compact" | "comfortable";
  readonly hasSingleKeys: boolean;
  /** who says what is said of runs */
  readonly annotator: string;
  /** name -> the list's address, without path */
  readonly views: Readonly<Record<string, string>>;
  /** name -> SQL */
  readonly queries: Readonly<Record<string, string>>;
}

const DEFAULTS: Settings = {
  theme: "system",
  density: "compact",
  hasSingleKeys: true,
  annotator: "",
  views: {},
  queries: {},
};
const KEPT_AS = "otel-traj";

const listeners = new Set<() => void>();
let current: Settings = read();

export function useSettings(): Settings {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

export function change(part: Partial<Settings>): void {
  current = { ...current, ...part };
  try {
    localStorage.setItem(KEPT_AS, JSON.stringify(current));
  } catch {
    // A browser that keeps nothing: it holds until the page is left.
  }
  show();
  for (const listener of listeners) listener();
}

/** Lets the style sheet know. */
export function show(): void {
  document.documentElement.dataset.theme = current.theme;
  document.documentElement.dataset.density = current.density;
}

function read(): Settings {
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT_AS) ?? "{}") as Partial<Settings>;
    return { ...DEFAULTS, ...kept };
  } catch {
    return DEFAULTS;
  }
}
