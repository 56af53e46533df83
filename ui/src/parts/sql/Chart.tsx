import { exact } from "../../core/format";
import { oneLine } from "../../core/hostile";
import { points, type Result } from "../../core/sql";

const MOST_BARS = 100;
const HEIGHT = 220;

interface Props {
  readonly result: Result;
  readonly kind: "bar" | "line";
  readonly x: number;
  readonly y: number;
  readonly onChange: (what: { x?: number; y?: number; kind?: string }) => void;
}

/** Two columns of a result; the table of the same result tells the same. */
export function Chart({ result, kind, x, y, onChange }: Props) {
  const numbers = result.columns.flatMap((column, at) => (column.is_number ? [at] : []));
  if (numbers.length === 0)
    return <p className="note muted">No column of this result holds numbers: nothing to draw.</p>;
  const all = points(result, x, y);
  const told = all.filter((point) => point.value !== null);
  const name = (at: number) => oneLine(result.columns[at]?.name ?? "row");
  return (
    <figure className="sql-chart">
      <figcaption>
        <Choice label="As" name="Drawn as" value={kind} onChange={(kind) => onChange({ kind })}>
          <option value="bar">bars</option>
          <option value="line">a line</option>
        </Choice>
        <Choice
          label="of"
          name="Numbers"
          value={String(y)}
          onChange={(at) => onChange({ y: Number(at) })}
        >
          {numbers.map((at) => (
            <option key={at} value={at}>
              {name(at)}
            </option>
          ))}
        </Choice>
        <Choice
          label="over"
          name="Along"
          value={String(x)}
          onChange={(at) => onChange({ x: Number(at) })}
        >
          <option value={-1}>rows</option>
          {result.columns.map((_, at) => (
            <option key={at} value={at}>
              {name(at)}
            </option>
          ))}
        </Choice>
        <span className="muted">
          {all.length - told.length > 0 && `${all.length - told.length} rows without a number. `}
          {kind === "bar" && all.length > MOST_BARS && `The first ${MOST_BARS} of ${all.length}.`}
        </span>
      </figcaption>
      {kind === "bar" ? <Bars points={all.slice(0, MOST_BARS)} /> : <Line points={all} />}
    </figure>
  );
}

type Points = ReturnType<typeof points>;

function Bars({ points: all }: { points: Points }) {
  const [low, high] = range(all);
  const width = (value: number) => (Math.abs(value) / (high - low)) * 100;
  const left = (value: number) => ((Math.min(value, 0) - low) / (high - low)) * 100;
  return (
    <ol className="sql-bars">
      {all.map(({ label, value }, i) => (
        <li key={i}>
          <bdi title={oneLine(label)}>{oneLine(label)}</bdi>
          <span className="bar-track" aria-hidden="true">
            {value !== null && (
              <span style={{ marginLeft: `${left(value)}%`, width: `${width(value)}%` }} />
            )}
          </span>
          <span className="number">{value === null ? "NULL" : written(value)}</span>
        </li>
      ))}
    </ol>
  );
}

function Line({ points: all }: { points: Points }) {
  const [low, high] = range(all);
  const y = (value: number) => HEIGHT - ((value - low) / (high - low)) * HEIGHT;
  const parts: string[][] = [[]];
  all.forEach(({ value }, i) => {
    if (value === null) parts.push([]);
    else parts.at(-1)!.push(`${i + 0.5},${y(value)}`);
  });
  return (
    <div className="sql-line">
      <span className="muted">{written(high)}</span>
      <svg
        viewBox={`0 0 ${Math.max(all.length, 1)} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`A line of ${all.length} points from ${written(low)} to ${written(high)}; the table has the numbers`}
      >
        <line className="zero" x1={0} x2={all.length} y1={y(0)} y2={y(0)} />
        {parts.map((part, i) =>
          part.length === 1 ? (
            <polyline
              key={i}
              points={`${part[0]} ${part[0]!.replace(/^[^,]+/, (at) => `${Number(at) + 0.2}`)}`}
            />
          ) : (
            <polyline key={i} points={part.join(" ")} />
          ),
        )}
      </svg>
      <span className="muted">{written(low)}</span>
      <p className="ends">
        <bdi>{oneLine(all[0]?.label ?? "")}</bdi>
        <bdi>{oneLine(all.at(-1)?.label ?? "")}</bdi>
      </p>
    </div>
  );
}

/** With 0 in it, as lengths are compared. */
function range(all: Points): [number, number] {
  const told = all.flatMap(({ value }) => (value === null ? [] : [value]));
  const low = told.reduce((least, value) => Math.min(least, value), 0);
  const high = told.reduce((most, value) => Math.max(most, value), 0);
  return [low, high === low ? low + 1 : high];
}

function written(value: number): string {
  return Number.isInteger(value) ? exact(value) : String(Number(value.toPrecision(5)));
}

function Choice(props: {
  label: string;
  name: string;
  value: string;
  onChange: (value: string) => void;
  children: React.ReactNode;
}) {
  return (
    <label>
      {props.label}{" "}
      <select
        aria-label={props.name}
        value={props.value}
        onChange={(event) => props.onChange(event.target.value)}
      >
        {props.children}
      </select>
    </label>
  );
}
