import { Link } from "wouter";
import type { AnalysisAnswer } from "../../api/client";
import { listHref, Reader } from "../../core/analysis";
import { percent } from "../../core/format";
import { oneLine } from "../../core/hostile";
import type { Address } from "../../frame/address";

type Boxes = NonNullable<AnalysisAnswer["drawing"]>["boxes"];

/** Where the graph begins: the middle of its highest box, in pixels from the left. */
function beginning(boxes: Boxes): number {
  const [highest] = [...boxes].sort((a, b) => a.y - b.y);
  return highest ? highest.x + highest.width / 2 : 0;
}

/** The graph of calls: the wider a way, the more often it was taken; its colour is the success. */
export function Flow({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const { drawing } = answer;
  if (drawing === null) return null;
  const read = new Reader(answer);
  const { width, height, boxes, arrows, n_left_out } = drawing;
  return (
    <figure className="chart flow" aria-label="Chart: flow of calls">
      <ul className="legend" aria-label="What the lines say">
        {TONES.map(({ tone, sign, says }) => (
          <li key={tone}>
            <span className={`key ${tone}`} aria-hidden="true">
              {sign}
            </span>{" "}
            {says}
          </li>
        ))}
      </ul>
      <div
        className="scroll"
        role="region"
        aria-label="Drawing; the table has its figures"
        tabIndex={0}
        ref={(region) => {
          if (region) region.scrollLeft = beginning(boxes) - region.clientWidth / 2;
        }}
      >
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="group">
          <defs>
            <marker
              id="flow-head"
              viewBox="0 0 10 10"
              refX="9"
              refY="5"
              markerWidth="9"
              markerHeight="9"
              markerUnits="userSpaceOnUse"
              orient="auto-start-reverse"
            >
              <path d="M0 0L10 5L0 10z" />
            </marker>
          </defs>
          {arrows.map((arrow) => {
            const row = answer.rows[arrow.row]!;
            const rate = read.number(row, "success_rate");
            const said = `${oneLine(arrow.title)}; ${rated(rate, read.text(row, "n_judged"))}`;
            return (
              <Link
                key={arrow.row}
                href={listHref(address.at, row.only)}
                className={`arrow ${toneOf(rate)}`}
                aria-label={said}
              >
                <title>{said}</title>
                <path className="hit" d={arrow.path} />
                <path
                  className="way"
                  d={arrow.path}
                  strokeWidth={arrow.width}
                  markerEnd="url(#flow-head)"
                />
              </Link>
            );
          })}
          {boxes.map((box, i) => {
            const [x, y] = [box.x + box.width / 2, box.y + 20];
            const shape = (
              <>
                <title>{oneLine(box.name)}</title>
                <rect
                  x={box.x}
                  y={box.y}
                  width={box.width}
                  height={box.height}
                  rx={box.call === null ? 15 : 5}
                />
                <text x={x} y={y} textAnchor="middle">
                  {oneLine(box.label)}
                </text>
              </>
            );
            return box.call === null ? (
              <g key={`${i}`} className="end">
                {shape}
              </g>
            ) : (
              <Link
                key={`${i}`}
                className="box"
                href={listHref(address.at, { tool: [box.call] })}
                aria-label={`${whole(box)}: its runs`}
              >
                {shape}
              </Link>
            );
          })}
          {arrows.map((arrow) => {
            const rate = read.number(answer.rows[arrow.row]!, "success_rate");
            return (
              <text
                key={arrow.row}
                className="times"
                x={arrow.x}
                y={arrow.y}
                textAnchor="middle"
                aria-hidden="true"
              >
                {arrow.label}
                {rate !== null && (
                  <tspan x={arrow.x} dy={12}>
                    {percent(rate)}
                  </tspan>
                )}
              </text>
            );
          })}
        </svg>
      </div>
      <figcaption className="muted">
        The number at a way is how often it was taken; under it, how many of its judged runs
        succeed. {n_left_out > 0 && `${n_left_out} rarer ways are not drawn; the table has them.`}
      </figcaption>
    </figure>
  );
}

const TONES = [
  { tone: "good", sign: "━", says: "80 % or more of the judged runs succeed" },
  { tone: "doubt", sign: "╍", says: "50 % or more" },
  { tone: "bad", sign: "┅", says: "less" },
  { tone: "none", sign: "┈", says: "nobody judged them" },
] as const;

/** What is read on the box, then the rest of a long name. */
function whole({ label, name }: { label: string; name: string }): string {
  return oneLine(label === name ? label : `${label} (${name})`);
}

function toneOf(rate: number | null): string {
  if (rate === null) return "none";
  return rate >= 0.8 ? "good" : rate >= 0.5 ? "doubt" : "bad";
}

function rated(rate: number | null, judged: string): string {
  return rate === null
    ? "nobody judged these runs"
    : `${percent(rate)} of ${judged} judged succeed`;
}
