import { type RefObject, useLayoutEffect, useRef, useState } from "react";

/** How wide an element is, in pixels. */
export function useWidth<E extends Element>(): [RefObject<E | null>, number] {
  const element = useRef<E>(null);
  const [width, setWidth] = useState(640);
  useLayoutEffect(() => {
    const shown = element.current;
    if (!shown) return;
    const observer = new ResizeObserver(() => setWidth(Math.round(shown.clientWidth)));
    observer.observe(shown);
    return () => observer.disconnect();
  }, []);
  return [element, width];
}
