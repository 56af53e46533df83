/** The keyboard: which keys do what on the page that is shown. */

import { createContext, useContext, useEffect, useRef } from "react";

export interface Key {
  /** as `KeyboardEvent.key`, or two of them with a space: `g t` */
  readonly keys: readonly string[];
  readonly label: string;
  readonly run: (event: KeyboardEvent) => void;
  /** also where single keys are switched off, as it is no character */
  readonly isAlways?: boolean;
}

/** All keys that work now, for the help. */
export const KEYS = new Set<readonly Key[]>();

export const SingleKeys = createContext(true);

/** While the component is shown, its keys work. */
export function useKeys(keys: readonly Key[]): void {
  const hasSingle = useContext(SingleKeys);
  const now = useRef(keys);
  now.current = keys;
  useEffect(() => {
    let before = "";
    const listen = (event: KeyboardEvent) => {
      const isBusy =
        event.ctrlKey || event.metaKey || event.altKey || isTyping(event.composedPath()[0]);
      if (event.defaultPrevented || isBusy) return;
      const pair = `${before} ${event.key}`;
      before = event.key;
      const usable = now.current.filter((key) => hasSingle || key.isAlways);
      const found =
        usable.find((key) => key.keys.includes(pair)) ??
        usable.find((key) => key.keys.includes(event.key));
      if (!found) return;
      event.preventDefault();
      found.run(event);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, [hasSingle]);
  useEffect(() => {
    KEYS.add(now.current);
    return () => void KEYS.delete(now.current);
  });
}

/** Who listens at the window hears of an editor in a shadow tree as of the element round it. */
function isTyping(target: EventTarget | undefined): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable ||
      ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName) ||
      target.closest("dialog") !== null)
  );
}
