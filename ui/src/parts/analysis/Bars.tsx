import { Link } from "wouter";
import type { AnalysisAnswer } from "../../api/client";
import { at, listHref, Reader, scaleOf } from "../../core/analysis";
import { oneLine } from "../../core/hostile";
import type { Address } from "../../frame/address";
import { Coded, useBadges } from "./badges";

const MOST = 24;

/** One bar for each row, with its interval where there is one; each leads to its runs. */
export function Bars({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const badges = useBadges(answer);
  const measured = answer.columns.find(({ name }) => name === answer.measure);
  if (!measured) return null;
  const read = new Reader(answer);
  const rows = answer.rows.slice(0, MOST);
  const values = rows.map((row) => read.number(row, measured.name));
  if (values.every((value) => value === null)) return null;
  const scale = scaleOf(measured.unit, values);
  const zero = at(scale, 0);
  return (
    <figure className="chart" aria-label={`Chart: ${answer.title}, ${measured.title}`}>
      <ol className="bars">
        {rows.map((row, i) => {
          const value = values[i] ?? null;
          const low = read.number(row, answer.low);
          const high = read.number(row, answer.high);
          const end = value === null ? zero : at(scale, value);
          const badge = badges.get(read.raw(row, "label") ?? "");
          const label = oneLine(nameOf(answer, row.texts));
          return (
            <li key={`${i}`}>
              <Link
                href={listHref(address.at, row.only)}
                title={oneLine(row.said ?? label)}
                className={value === null ? "unknown" : (badge?.tone ?? "plain")}
              >
                <span className="what">
                  {badge && <span aria-hidden="true">{badge.sign} </span>}
                  <bdi>{label}</bdi>
                </span>
                <svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
                  <rect className="track" x={0} y={5} width={100} height={4} />
                  <rect
                    className="value"
                    x={100 * Math.min(zero, end)}
                    y={2}
                    width={100 * Math.abs(end - zero)}
                    height={10}
                  />
                  {low !== null && high !== null && (
                    <path
                      className="interval"
                      d={interval(100 * at(scale, low), 100 * at(scale, high))}
                    />
                  )}
                  {zero > 0 && <path className="zero" d={`M${100 * zero} 0V14`} />}
                </svg>
                <span className="figure">
                  {value === null ? "unknown" : read.text(row, measured.name)}
                </span>
              </Link>
            </li>
          );
        })}
      </ol>
      <figcaption className="muted">
        {measured.title}: <Coded text={measured.meaning} />
        {answer.low !== null && "; the line through a bar is its 95 % interval"}
        {answer.rows.length > MOST && `; the first ${MOST}, all others are in the table`}
      </figcaption>
    </figure>
  );
}

function interval(low: number, high: number): string {
  return `M${low} 7H${high}M${low} 3V11M${high} 3V11`;
}

const NAMES: Readonly<Record<string, readonly string[]>> = {
  success_patterns: ["kind", "pattern"],
  failure_patterns: ["kind", "pattern"],
  tool_effectiveness: ["tool_name", "agent_name", "agent_version"],
  tool_errors: ["tool_name", "signature"],
  tool_followups: ["tool_name", "ending"],
  waste: ["tool_name", "kind", "what"],
  token_cost: ["model", "agent_name"],
  coverage: ["agent_name", "what"],
  open_runs: ["state", "agent_name", "trajectory_id"],
  prefix_value: ["task", "calls"],
  first_divergence: ["task", "calls", "next"],
  variants: ["calls"],
};

/** What a row is of, in few words. */
export function nameOf(answer: AnalysisAnswer, texts: readonly string[]): string {
  const wanted = NAMES[answer.name] ?? ["task", "agent_name"];
  return answer.columns
    .map(({ name }, place) => ({ rank: wanted.indexOf(name), text: texts[place] ?? "" }))
    .filter(({ rank, text }) => rank >= 0 && text !== "" && text !== "–")
    .sort((a, b) => a.rank - b.rank)
    .map(({ text }) => text)
    .join(" · ");
}
