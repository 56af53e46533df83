import { useMemo, useState } from "react";
import { type Json, jsonRows, openAtFirst } from "../core/json";
import { Text } from "./Text";

/** So many rows are drawn; the next ones on demand. */
const STEP = 200;

/** JSON as a tree: what is closed costs nothing. */
export function JsonTree({ value, label }: { value: Json; label: string }) {
  const [open, setOpen] = useState<ReadonlySet<string>>(openAtFirst);
  const [most, setMost] = useState(STEP);
  const rows = useMemo(() => jsonRows(value, open), [value, open]);
  const toggle = (path: string) => {
    const next = new Set(open);
    if (!next.delete(path)) next.add(path);
    setOpen(next);
  };
  return (
    <div className="json">
      <ul aria-label={label}>
        {rows.slice(0, most).map((row) => (
          <li key={row.path} style={{ paddingLeft: Math.min(row.depth, 24) * 14 }}>
            {row.size === null ? (
              <span className="twist" />
            ) : (
              <button
                type="button"
                className="twist"
                aria-expanded={row.isOpen}
                aria-label={`${row.isOpen ? "Fold" : "Unfold"} ${row.key ?? label}`}
                onClick={() => toggle(row.path)}
              >
                {row.isOpen ? "▾" : "▸"}
              </button>
            )}
            {row.key !== null && (
              <>
                <span className="key">
                  <Text text={row.key} />
                </span>
                <span className="muted">: </span>
              </>
            )}
            <Scalar value={row.value} size={row.size} isOpen={row.isOpen} />
          </li>
        ))}
      </ul>
      {rows.length > most && (
        <button type="button" className="link" onClick={() => setMost(most + STEP * 5)}>
          {rows.length - most} more rows
        </button>
      )}
    </div>
  );
}

function Scalar({ value, size, isOpen }: { value: Json; size: number | null; isOpen: boolean }) {
  if (size !== null) {
    const [left, right] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
    return <span className="muted">{isOpen ? left : `${left} ${size} ${right}`}</span>;
  }
  if (typeof value === "string") {
    return (
      <span className="string">
        <Text text={value} />
      </span>
    );
  }
  return <span className="scalar">{String(value)}</span>;
}
