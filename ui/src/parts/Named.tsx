import { type ReactNode, useState } from "react";
import { change, type Settings, useSettings } from "../frame/settings";

/** What a reader saved in this browser under names, and the form that saves what is shown now. */
export function Named(props: {
  kind: "views" | "queries";
  /** what to call that which is shown now */
  what: string;
  /** as it is to be kept; null where there is none */
  now: () => string | null;
  children: (name: string, kept: string) => ReactNode;
}) {
  const kept: Settings["views"] = useSettings()[props.kind];
  const [name, setName] = useState("");
  const save = () => {
    const now = props.now();
    if (name.trim() === "" || now === null) return;
    change({ [props.kind]: { ...kept, [name.trim()]: now } });
    setName("");
  };
  const remove = (gone: string) =>
    change({
      [props.kind]: Object.fromEntries(Object.entries(kept).filter(([own]) => own !== gone)),
    });
  return (
    <>
      {Object.keys(kept).length === 0 && <p className="muted">None is saved yet.</p>}
      <ul>
        {Object.entries(kept).map(([own, text]) => (
          <li key={own}>
            {props.children(own, text)}
            <button type="button" aria-label={`Remove ${own}`} onClick={() => remove(own)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          save();
        }}
      >
        <label>
          Save this {props.what} as
          <input value={name} maxLength={60} onChange={(event) => setName(event.target.value)} />
        </label>
        <button type="submit">Save</button>
      </form>
    </>
  );
}
