/**
 * Which rows of one height are on screen: what is drawn of a list of hundreds of thousands.
 *
 * Rows keep their *slot* while they are drawn: `slot` names their element, so that scrolling changes
 * what elements say and makes none.
 */

import { type RefObject, useCallback, useLayoutEffect, useState } from "react";

/** Rows drawn beyond each edge, so that scrolling does not show nothing first. */
const BEYOND = 6;

export interface FixedRows {
  /** places to draw */
  readonly drawn: readonly { readonly place: number; readonly slot: number }[];
  /** places on screen, both ends included; `last` is -1 where there are none */
  readonly first: number;
  readonly last: number;
  /** px, of all rows */
  readonly total: number;
  /** Scrolls as little as is needed to have a row in sight. */
  readonly show: (place: number) => void;
}

export function useFixedRows(
  box: RefObject<HTMLElement | null>,
  count: number,
  height: number,
): FixedRows {
  const [seen, setSeen] = useState({ top: 0, view: 40 });
  useLayoutEffect(() => {
    const element = box.current!;
    const look = () => {
      // Whole rows: what is drawn changes only when one comes or goes.
      const top = Math.floor(element.scrollTop / height);
      const view = Math.ceil(element.clientHeight / height);
      setSeen((now) => (now.top === top && now.view === view ? now : { top, view }));
    };
    look();
    const observer = new ResizeObserver(look);
    observer.observe(element);
    element.addEventListener("scroll", look, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", look);
    };
  }, [box, height]);

  const first = Math.max(Math.min(seen.top, count - seen.view), 0);
  const last = Math.min(first + seen.view, count) - 1;
  const from = Math.max(first - BEYOND, 0);
  const to = Math.min(last + BEYOND, count - 1);
  const slots = seen.view + 2 * BEYOND + 1;
  const show = useCallback(
    (place: number) => {
      const element = box.current;
      if (!element) return;
      const [above, below] = [place * height, (place + 1) * height];
      if (above < element.scrollTop) element.scrollTop = above;
      else if (below > element.scrollTop + element.clientHeight) {
        element.scrollTop = below - element.clientHeight;
      }
    },
    [box, height],
  );
  return {
    drawn: Array.from({ length: Math.max(to - from + 1, 0) }, (_, i) => ({
      place: from + i,
      slot: (from + i) % slots,
    })),
    first,
    last,
    total: count * height,
    show,
  };
}
