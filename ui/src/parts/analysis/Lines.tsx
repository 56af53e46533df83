import { Link } from "wouter";
import type { AnalysisAnswer } from "../../api/client";
import { at, byWeek, listHref, Reader, scaleOf, ticks } from "../../core/analysis";
import { cost, count, duration, UNKNOWN } from "../../core/format";
import { oneLine } from "../../core/hostile";
import type { Address } from "../../frame/address";
import { useWidth } from "../../frame/width";

const MOST_AGENTS = 6;
const HEIGHT = 150;
const LEFT = 58;
const RIGHT = 14;
const TOP = 10;
const BOTTOM = 24;
const SIGNS = ["●", "■", "▲", "◆", "○", "□"];

const MEASURES = [
  { column: "success_rate", title: "Success rate", unit: "share", text: whole },
  { column: "n_runs", title: "Runs", unit: "n", text: count },
  { column: "median_duration_s", title: "Median time", unit: "s", text: seconds },
  { column: "mean_cost_usd", title: "Mean cost", unit: "usd", text: cost },
  { column: "mean_steps", title: "Mean steps", unit: "n", text: tenths },
] as const;

function seconds(s: number | null): string {
  return duration(s === null ? null : 1e6 * s);
}

function tenths(n: number | null): string {
  return n === null ? UNKNOWN : n.toFixed(1);
}

function whole(share: number | null): string {
  return share === null ? UNKNOWN : `${Math.round(100 * share)} %`;
}

/** A small chart for each measure, a line for each agent; a week of which nothing is known is a gap. */
export function Lines({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const [box, width] = useWidth<HTMLElement>();
  const told = byWeek(answer, MOST_AGENTS);
  const read = new Reader(answer);
  if (told.weeks.length === 0) return null;
  const inner = Math.max(width - LEFT - RIGHT, 60);
  const x = (week: number) =>
    LEFT + (told.weeks.length === 1 ? inner / 2 : (inner * week) / (told.weeks.length - 1));
  return (
    <figure className="chart" aria-label={`Chart: ${answer.title}`} ref={box}>
      <ul className="legend" aria-label="Agents">
        {told.agents.map((agent, i) => (
          <li key={agent}>
            <span className={`key line${i}`} aria-hidden="true">
              {SIGNS[i]}
            </span>{" "}
            <bdi>{oneLine(agent)}</bdi>
          </li>
        ))}
      </ul>
      {MEASURES.map(({ column, title, unit, text }) => {
        const values = told.agents.flatMap((agent) =>
          [...told.rows.get(agent)!.values()].map((row) => read.number(row, column)),
        );
        if (values.every((value) => value === null))
          return (
            <p key={column} className="muted">
              {title}: not known of any week.
            </p>
          );
        const scale = scaleOf(unit, values);
        const y = (value: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - at(scale, value));
        return (
          <div key={column} className="lines">
            <h4>{title}</h4>
            <svg width={width} height={HEIGHT} role="group" aria-label={`${title} by week`}>
              {ticks(scale.high).map((tick) => (
                <g key={tick} className="tick" aria-hidden="true">
                  <path d={`M${LEFT} ${y(tick)}H${width - RIGHT}`} />
                  <text x={LEFT - 6} y={y(tick) + 4} textAnchor="end">
                    {text(tick)}
                  </text>
                </g>
              ))}
              {[0, told.weeks.length - 1].map(
                (week, end) =>
                  (end === 0 || week > 0) && (
                    <text
                      key={end}
                      className="axis"
                      x={x(week)}
                      y={HEIGHT - 6}
                      textAnchor={
                        week === 0 ? (told.weeks.length === 1 ? "middle" : "start") : "end"
                      }
                      aria-hidden="true"
                    >
                      {told.weeks[week]}
                    </text>
                  ),
              )}
              {told.agents.map((agent, i) => {
                const rows = told.rows.get(agent)!;
                const points = told.weeks.map((week, place) => {
                  const row = rows.get(week);
                  const value = row ? read.number(row, column) : null;
                  return row && value !== null
                    ? { row, week, value, x: x(place), y: y(value) }
                    : null;
                });
                return (
                  <g key={agent} className={`line${i}`}>
                    <path className="line" d={line(points)} />
                    {points.map(
                      (point) =>
                        point && (
                          <Link
                            key={point.week}
                            href={listHref(address.at, point.row.only)}
                            aria-label={`${oneLine(agent)}, week of ${point.week}: ${text(point.value)}`}
                          >
                            <title>{`${oneLine(agent)}, week of ${point.week}: ${text(point.value)}`}</title>
                            <circle className="hit" cx={point.x} cy={point.y} r={9} />
                            <text className="mark" x={point.x} y={point.y + 4} textAnchor="middle">
                              {SIGNS[i]}
                            </text>
                          </Link>
                        ),
                    )}
                  </g>
                );
              })}
            </svg>
          </div>
        );
      })}
      <figcaption className="muted">
        Weeks begin on Monday, UTC. A gap is a week of which this is not known.
        {told.nLeftOut > 0 &&
          ` ${told.nLeftOut} rows are in the table only: of further agents, or of runs whose time nobody told.`}
      </figcaption>
    </figure>
  );
}

function line(points: readonly ({ x: number; y: number } | null)[]): string {
  let path = "";
  let isDown = false;
  for (const point of points) {
    if (point) path += `${isDown ? "L" : "M"}${point.x.toFixed(1)} ${point.y.toFixed(1)}`;
    isDown = point !== null;
  }
  return path;
}
