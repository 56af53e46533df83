import { useState } from "react";
import type { SqlView } from "../../api/client";
import { identifier } from "../../core/sql";

/** Views and columns with what they mean; a click writes one into the query. */
export function Schema(props: {
  readonly views: readonly SqlView[];
  readonly onInsert: (text: string) => void;
}) {
  const [wanted, setWanted] = useState("");
  const word = wanted.trim().toLowerCase();
  const views = props.views
    .map((view) => ({
      ...view,
      columns:
        word === "" || view.name.includes(word)
          ? view.columns
          : view.columns.filter(({ name, meaning }) =>
              `${name} ${meaning}`.toLowerCase().includes(word),
            ),
    }))
    .filter((view) => view.columns.length > 0);
  return (
    <>
      <label className="sql-find">
        <span className="sr">Find a column</span>
        <input
          type="search"
          placeholder="Find a column"
          value={wanted}
          onChange={(event) => setWanted(event.target.value)}
        />
      </label>
      {views.length === 0 && <p className="muted">No column is called or means that.</p>}
      {views.map((view) => (
        <details key={`${view.name} ${word !== ""}`} open={word !== ""}>
          <summary title={view.meaning}>{view.name}</summary>
          <p className="muted">{view.meaning}</p>
          <button type="button" className="link" onClick={() => props.onInsert(view.name)}>
            Write {view.name}
          </button>
          <ul>
            {view.columns.map((column) => (
              <li key={column.name}>
                <button
                  type="button"
                  onClick={() => props.onInsert(identifier(column.name))}
                  title={`${column.type}${column.unit ? `, ${column.unit}` : ""}: ${column.meaning}`}
                >
                  <code>{column.name}</code>
                  <span className="muted">{short(column.type)}</span>
                  <small>{column.meaning}</small>
                </button>
              </li>
            ))}
          </ul>
        </details>
      ))}
    </>
  );
}

function short(type: string): string {
  const name = type.startsWith("STRUCT") ? "struct[]" : type.toLowerCase();
  return name.replace("timestamp with time zone", "timestamptz");
}
