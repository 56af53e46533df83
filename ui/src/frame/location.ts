/**
 * The address bar, as far as the pages know it.
 *
 * Holding a key down changes the address thirty times a second, and browsers ignore changes beyond
 * a few in a second. So what the pages see changes at once, and the bar follows.
 */

import { useSyncExternalStore } from "react";

const BAR_FOLLOWS_MS = 250;

const listeners = new Set<() => void>();
let here = fromBar();
let timer: ReturnType<typeof setTimeout> | undefined;

window.addEventListener("popstate", () => {
  clearTimeout(timer);
  timer = undefined;
  go(fromBar());
});
window.addEventListener("pagehide", writeBar);

/** As wouter wants it: the path, and how to leave it. */
export function useHere(): [string, typeof navigate] {
  return [useSyncExternalStore(subscribe, () => pathOf(here)), navigate];
}

/** As wouter wants it: what follows the question mark. */
export function useSearchHere(): string {
  return useSyncExternalStore(subscribe, () => searchOf(here));
}

/** The path as it is, percent signs and all; routers read it in ways that cannot be undone. */
export function pathHere(): string {
  return pathOf(here);
}

/** What follows the question mark, also where the bar is behind. */
export function searchHere(): string {
  return searchOf(here);
}

export function hrefHere(): string {
  return window.location.origin + here;
}

export function navigate(to: string, { replace = false }: { replace?: boolean } = {}): void {
  if (replace) {
    timer ??= setTimeout(writeBar, BAR_FOLLOWS_MS);
  } else {
    writeBar();
    history.pushState(null, "", to);
  }
  go(to);
}

function writeBar(): void {
  if (timer === undefined) return;
  clearTimeout(timer);
  timer = undefined;
  history.replaceState(null, "", here);
}

function go(to: string): void {
  here = to;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function fromBar(): string {
  return window.location.pathname + window.location.search;
}

function pathOf(address: string): string {
  return address.split("?", 1)[0]!;
}

function searchOf(address: string): string {
  const at = address.indexOf("?");
  return at < 0 ? "" : address.slice(at + 1);
}
