import { type PointerEvent, useState } from "react";
import type { Histogram as Counts } from "../api/client";
import { count } from "../core/format";

interface Props {
  readonly histogram: Counts;
  /** ISO times */
  readonly onChoose: (since: string, until: string) => void;
}

/** When the matching runs began; dragging over it chooses a time range. */
export function Histogram({ histogram, onChoose }: Props) {
  const { edges, counts, failed } = histogram;
  const [drag, setDrag] = useState<{ from: number; to: number } | null>(null);
  const n = counts.length;
  if (n === 0) return null;
  const most = Math.max(...counts, 1);
  const first = edges[0]!;
  const length = edges[n]! - first;
  const shareAt = (event: PointerEvent<SVGElement>) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
  };
  const choose = (from: number, to: number) => {
    // A click takes the column it hit; a drag, the columns that it touched.
    const low = Math.min(Math.floor(from * n), n - 1);
    const high = Math.max(Math.ceil(to * n), low + 1);
    onChoose(isoOf(edges[low]!), isoOf(edges[high]!));
  };
  return (
    <figure className="histogram">
      <svg
        viewBox={`0 0 ${n} 40`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`Runs over time: ${counts.reduce((a, b) => a + b, 0)} from ${local(first)} to ${local(first + length)}. Drag to choose a time range.`}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          setDrag({ from: shareAt(event), to: shareAt(event) });
        }}
        onPointerMove={(event) => drag && setDrag({ ...drag, to: shareAt(event) })}
        onPointerUp={() => {
          if (drag) choose(Math.min(drag.from, drag.to), Math.max(drag.from, drag.to));
          setDrag(null);
        }}
        onPointerCancel={() => setDrag(null)}
      >
        {counts.map((all, i) => {
          const bad = failed[i] ?? 0;
          return (
            <g key={edges[i]}>
              <title>{`${local(edges[i]!)}: ${count(all)} runs, ${count(bad)} failed`}</title>
              <rect className="hit" x={i} y={0} width={1} height={40} />
              <rect
                className="all"
                x={i + 0.05}
                y={40 - (40 * all) / most}
                width={0.9}
                height={(40 * all) / most}
              />
              <rect
                className="bad"
                x={i + 0.05}
                y={40 - (40 * bad) / most}
                width={0.9}
                height={(40 * bad) / most}
              />
            </g>
          );
        })}
        {drag && (
          <rect
            className="brush"
            x={Math.min(drag.from, drag.to) * n}
            y={0}
            width={Math.max(Math.abs(drag.to - drag.from) * n, 0.1)}
            height={40}
          />
        )}
      </svg>
      <figcaption>
        <span>{local(first)}</span>
        <span className="muted">drag for a time range · red: failed</span>
        <span>{local(first + length)}</span>
      </figcaption>
      <details>
        <summary>As a table</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">Runs</th>
              <th scope="col">Failed</th>
              <th scope="col" />
            </tr>
          </thead>
          <tbody>
            {counts.map((all, i) =>
              all === 0 ? null : (
                <tr key={edges[i]}>
                  <td>{local(edges[i]!)}</td>
                  <td>{count(all)}</td>
                  <td>{count(failed[i])}</td>
                  <td>
                    <button type="button" onClick={() => choose(i / n, (i + 0.5) / n)}>
                      Only these
                    </button>
                  </td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      </details>
    </figure>
  );
}

/** @param us microseconds since 1970 */
function isoOf(us: number): string {
  return new Date(us / 1000).toISOString();
}

function local(us: number): string {
  const at = new Date(us / 1000);
  const pad = (n: number) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}
