import { useEffect, useMemo, useRef, useState } from "react";
import { counted } from "../core/format";
import { oneLine } from "../core/hostile";
import { familyOf, signOf } from "../core/kinds";
import { lineOf, outline } from "../core/outline";
import type { Spans } from "../core/spans";
import { useFixedRows } from "../frame/fixedRows";

const HEIGHT = 24;
const INDENT = 12;
const DEEPEST = 6;

/** Beside the transcript: every step and sub-agent on one line, errors by themselves if wanted. */
export function Outline(props: {
  spans: Spans;
  selected: number;
  onSelect: (step: number) => void;
}) {
  const { spans, selected, onSelect } = props;
  const all = useMemo(() => outline(spans), [spans]);
  const nErrors = useMemo(() => all.filter(({ isError }) => isError).length, [all]);
  const [isErrors, setErrors] = useState(false);
  const lines = useMemo(
    () => (isErrors ? all.filter(({ isError }) => isError) : all),
    [all, isErrors],
  );
  const box = useRef<HTMLDivElement>(null);
  const rows = useFixedRows(box, lines.length, HEIGHT);
  const here = lineOf(lines, selected);
  useEffect(() => {
    if (here >= 0) rows.show(here);
  }, [here]);
  return (
    <nav className="outline" aria-label="Outline">
      <p className="outline-head">
        <span className="muted">{counted(all.length, "line")}</span>
        {nErrors > 0 && (
          <button
            type="button"
            className="link"
            aria-pressed={isErrors}
            onClick={() => setErrors(!isErrors)}
          >
            <span className="failed">✗ {counted(nErrors, "error")}</span>
            {isErrors && " only"}
          </button>
        )}
      </p>
      <div className="scroll" ref={box} tabIndex={-1}>
        <div className="sizer" style={{ height: rows.total }}>
          {rows.drawn.map(({ place, slot }) => {
            const line = lines[place]!;
            const label = oneLine(line.label);
            return (
              <button
                key={slot}
                type="button"
                className="outline-line"
                aria-current={place === here ? "step" : undefined}
                title={label}
                style={{
                  top: place * HEIGHT,
                  paddingLeft: 6 + Math.min(line.depth, DEEPEST) * INDENT,
                }}
                onClick={() => onSelect(line.step)}
              >
                <span className="muted number">#{line.step}</span>
                <span className={`kind ${familyOf(line.kind)}`} aria-hidden="true">
                  {signOf(line.kind)}
                </span>
                <span className="outline-label">
                  {line.nSteps === null ? label : <strong>{label}</strong>}
                </span>
                {line.nSteps !== null && <span className="muted">{line.nSteps}</span>}
                {line.isError && (
                  <span className="failed">
                    ✗<span className="sr"> failed</span>
                  </span>
                )}
              </button>
            );
          })}
        </div>
      </div>
    </nav>
  );
}
