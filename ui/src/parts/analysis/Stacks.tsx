import { Link } from "wouter";
import type { AnalysisAnswer, AnalysisRow } from "../../api/client";
import { listHref, Reader } from "../../core/analysis";
import { counted, duration, exact, percent } from "../../core/format";
import { oneLine } from "../../core/hostile";
import type { Address } from "../../frame/address";

interface Part {
  readonly name: string;
  readonly sign: string;
  readonly tone: string;
  readonly value: number;
  readonly text: string;
  readonly href: string;
}

interface Stack {
  readonly name: string;
  readonly parts: readonly Part[];
  readonly of: string;
}

const MOST = 24;

const ENDINGS = [
  { column: "n_success", name: "success", sign: "✓", tone: "good", outcome: "success" },
  { column: "n_partial", name: "partial", sign: "◐", tone: "doubt", outcome: "partial" },
  { column: "n_failure", name: "failure", sign: "✗", tone: "bad", outcome: "failure" },
  { column: "n_error", name: "error, not counted", sign: "!", tone: "broken", outcome: "error" },
  { column: "n_unknown", name: "cannot be told", sign: "?", tone: "none", outcome: "unknown" },
  { column: "n_unjudged", name: "nobody judged", sign: "○", tone: "none", outcome: null },
] as const;

/** How the attempts at each task ended. */
export function Endings({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const read = new Reader(answer);
  const stacks = answer.rows.slice(0, MOST).map((row) => ({
    name: read.text(row, "task"),
    of: counted(read.number(row, "n"), "attempt"),
    parts: ENDINGS.flatMap(({ column, name, sign, tone, outcome }) => {
      const n = read.number(row, column) ?? 0;
      const href = listHref(withOutcome(address.at, outcome), row.only);
      return n === 0 ? [] : [{ name, sign, tone, value: n, text: exact(n), href }];
    }),
  }));
  const legend = ENDINGS.map(({ name, sign, tone }) => ({ name, sign, tone }));
  return <Stacks answer={answer} stacks={stacks} legend={legend} />;
}

function withOutcome(page: URLSearchParams, outcome: string | null): URLSearchParams {
  const asked = new URLSearchParams(page);
  if (outcome !== null) asked.set("outcome", outcome);
  return asked;
}

const KINDS: Readonly<Record<string, readonly [sign: string, tone: string]>> = {
  llm: ["◆", "llm"],
  tool: ["▲", "tool"],
  handoff: ["⇄", "agent"],
  retrieval: ["■", "io"],
  memory: ["■", "io"],
  between: ["·", "none"],
};
const OTHER = ["○", "none"] as const;

/** Where the time of each agent's runs goes: what they waited for. */
export function Times({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const read = new Reader(answer);
  const agents = new Map<string, AnalysisRow[]>();
  for (const row of answer.rows) {
    const agent = read.text(row, "agent_name");
    agents.set(agent, [...(agents.get(agent) ?? []), row]);
  }
  const stacks = [...agents].slice(0, MOST).map(([name, rows]) => ({
    name,
    of: duration(1e6 * rows.reduce((sum, row) => sum + (read.number(row, "critical_s") ?? 0), 0)),
    parts: rows.flatMap((row) => {
      const [kind, value] = [read.text(row, "kind"), read.number(row, "critical_s")];
      const [sign, tone] = KINDS[kind] ?? OTHER;
      if (value === null || value <= 0) return [];
      const text = percent(read.number(row, "critical_share"));
      return [{ name: kind, sign, tone, value, text, href: listHref(address.at, row.only) }];
    }),
  }));
  const kinds = new Set(stacks.flatMap(({ parts }) => parts.map(({ name }) => name)));
  const legend = [...kinds].map((name) => {
    const [sign, tone] = KINDS[name] ?? OTHER;
    return { name: name === "between" ? "between steps" : name, sign, tone };
  });
  return <Stacks answer={answer} stacks={stacks} legend={legend} />;
}

function Stacks(props: {
  answer: AnalysisAnswer;
  stacks: readonly Stack[];
  legend: readonly { name: string; sign: string; tone: string }[];
}) {
  const { answer, stacks, legend } = props;
  return (
    <figure className="chart" aria-label={`Chart: ${answer.title}`}>
      <ul className="legend" aria-label="What the signs say">
        {legend.map(({ name, sign, tone }) => (
          <li key={name}>
            <span className={`key ${tone}`} aria-hidden="true">
              {sign}
            </span>{" "}
            {name}
          </li>
        ))}
      </ul>
      <ol className="stacks">
        {stacks.map(({ name, parts, of }, i) => {
          const whole = parts.reduce((sum, { value }) => sum + value, 0);
          return (
            <li key={`${i}`}>
              <span className="what" title={oneLine(name)}>
                <bdi>{oneLine(name)}</bdi>
              </span>
              <span className="stack">
                {parts.map((part) => (
                  <Link
                    key={part.name}
                    href={part.href}
                    className={part.tone}
                    style={{ flexGrow: (100 * part.value) / whole }}
                    title={`${oneLine(name)}: ${part.text} ${part.name}`}
                    aria-label={`${oneLine(name)}: ${part.text} ${part.name}`}
                  >
                    {part.sign} {part.text}
                  </Link>
                ))}
              </span>
              <span className="figure">{of}</span>
            </li>
          );
        })}
      </ol>
      {stacks.length === MOST && (
        <figcaption className="muted">The first {MOST}; all others are in the table.</figcaption>
      )}
    </figure>
  );
}
