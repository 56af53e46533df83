import { type PointerEvent, useEffect, useMemo, useRef, useState } from "react";
import type { Window } from "../core/axis";
import { duration } from "../core/format";
import { EMPTY, FAILED, FLAGGED, minimap } from "../core/minimap";
import type { Spans } from "../core/spans";
import { useSettings } from "../frame/settings";
import { useMedia } from "../frame/media";

const LANES = 8;
const LANE_HEIGHT = 5;
const CLICK = 0.004;

interface Props {
  readonly spans: Spans;
  readonly window: Window | null;
  /** µs, or null to take the range away */
  readonly onRange: (range: Window | null) => void;
  /** µs */
  readonly onPoint: (at: number) => void;
}

/** The whole run: a lane for each depth. Dragging chooses a time range, a click goes there. */
export function Minimap({ spans, window: shown, onRange, onPoint }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const { theme } = useSettings();
  const isDark = useMedia("(prefers-color-scheme: dark)");
  const map = useMemo(() => minimap(spans, Math.max(width, 1), LANES), [spans, width]);
  const height = Math.max(map.lanes, 1) * LANE_HEIGHT;

  useEffect(() => {
    const element = canvas.current!;
    const observer = new ResizeObserver(() => setWidth(Math.round(element.clientWidth)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const element = canvas.current!;
    const context = element.getContext("2d");
    if (!context || width === 0) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => resolved(element, style.getPropertyValue(name));
    const [busy, flagged, failed] = [colour("--bar-llm"), colour("--warn"), colour("--error")];
    element.width = width;
    element.height = height;
    for (let lane = 0; lane < map.lanes; lane++) {
      for (let x = 0; x < width; x++) {
        const mark = map.cells[lane * width + x]!;
        if (mark === EMPTY) continue;
        context.fillStyle = mark === FAILED ? failed : mark === FLAGGED ? flagged : busy;
        context.globalAlpha =
          mark === FAILED || mark === FLAGGED ? 1 : 0.35 + (0.65 * (lane + 1)) / LANES;
        context.fillRect(x, lane * LANE_HEIGHT, 1, LANE_HEIGHT - 1);
      }
    }
  }, [map, width, height, theme, isDark]);

  const shareAt = (event: PointerEvent<HTMLElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const end = () => {
    if (!drag) return;
    setDrag(null);
    const [from, to] = [Math.min(drag.from, drag.to), Math.max(drag.from, drag.to)];
    if (to - from < CLICK) onPoint(from * spans.total);
    else onRange({ from: Math.round(from * spans.total), to: Math.round(to * spans.total) });
  };
  const brush = drag
    ? { left: Math.min(drag.from, drag.to), width: Math.abs(drag.to - drag.from) }
    : shown && { left: shown.from / spans.total, width: (shown.to - shown.from) / spans.total };
  return (
    <div
      className="minimap"
      role="img"
      aria-label={`The run over ${duration(spans.total)}: ${spans.n} spans, ${[...spans.errors].length} failed. The waterfall shows the same.`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: shareAt(event), to: shareAt(event) });
      }}
      onPointerMove={(event) => drag && setDrag({ ...drag, to: shareAt(event) })}
      onPointerUp={end}
      onPointerCancel={() => setDrag(null)}
      onDoubleClick={() => onRange(null)}
    >
      <canvas ref={canvas} style={{ height }} />
      {brush && (
        <span
          className="brush"
          style={{ left: `${brush.left * 100}%`, width: `${Math.max(brush.width * 100, 0.2)}%` }}
        />
      )}
    </div>
  );
}

/** A canvas does not know `light-dark()`: the element is asked what it makes of it. */
function resolved(element: HTMLElement, value: string): string {
  element.style.color = value;
  const found = getComputedStyle(element).color;
  element.style.color = "";
  return found;
}
