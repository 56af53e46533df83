import type { StepRow } from "../api/client";

const HEIGHT = 80;

interface Props {
  readonly rows: readonly StepRow[];
  readonly selected: number;
  readonly onSelect: (step: number) => void;
}

/** Rewards as columns, and their sum so far as a line; the table below tells the same. */
export function RewardPlot({ rows, selected, onSelect }: Props) {
  const rewards = rows.map((row) => row.reward);
  const sums = rows.map((row) => row.cumulative_reward);
  const told = [...rewards, ...sums].filter((value) => value !== null);
  const low = Math.min(0, ...told);
  const high = Math.max(0, ...told, low + 1e-9);
  const y = (value: number) => HEIGHT - ((value - low) / (high - low)) * HEIGHT;
  const n = rows.length;
  const line = sums
    .map((value, i) => (value === null ? null : `${i + 0.5},${y(value)}`))
    .filter((point) => point !== null)
    .join(" ");
  const last = sums.findLast((value) => value !== null);
  return (
    <figure className="rewards">
      <figcaption>
        Reward of each step, and their sum so far
        {last !== undefined && last !== null && `: ${Math.round(last * 1000) / 1000} in the end`}
        <span className="muted">
          {" "}
          ({Math.round(low * 100) / 100} to {Math.round(high * 100) / 100})
        </span>
      </figcaption>
      <svg
        viewBox={`0 0 ${n} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label="Rewards over steps; the table has the numbers"
        onClick={(event) => {
          const box = event.currentTarget.getBoundingClientRect();
          const row = rows[Math.floor(((event.clientX - box.left) / box.width) * n)];
          if (row) onSelect(row.step);
        }}
      >
        <line className="zero" x1={0} x2={n} y1={y(0)} y2={y(0)} />
        {rewards.map((value, i) =>
          value === null ? null : (
            <rect
              key={rows[i]!.step}
              className={value < 0 ? "bad" : "good"}
              x={i + 0.1}
              width={0.8}
              y={Math.min(y(value), y(0))}
              height={Math.max(Math.abs(y(value) - y(0)), 0.6)}
            />
          ),
        )}
        <polyline className="sum" points={line} />
        {rows.map((row, i) =>
          row.step === selected ? (
            <rect key="here" className="cursor" x={i} width={1} y={0} height={HEIGHT} />
          ) : null,
        )}
      </svg>
    </figure>
  );
}
