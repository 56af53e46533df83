import { useState } from "react";
import { Link } from "wouter";
import { Menu } from "./Menu";
import type { Address } from "../frame/address";
import { change, useSettings } from "../frame/settings";

/** Lists with a name: filters and order as they stand in the address. */
export function SavedViews({ address }: { address: Address }) {
  const { views } = useSettings();
  const [name, setName] = useState("");
  const save = () => {
    const kept = new URLSearchParams(address.at);
    kept.delete("sel");
    change({ views: { ...views, [name.trim()]: kept.toString() } });
    setName("");
  };
  const remove = (gone: string) =>
    change({ views: Object.fromEntries(Object.entries(views).filter(([name]) => name !== gone)) });
  return (
    <Menu label="Views">
      {Object.keys(views).length === 0 && <p className="muted">None is saved yet.</p>}
      <ul>
        {Object.entries(views).map(([name, search]) => (
          <li key={name}>
            <Link href={search ? `/t?${search}` : "/t"}>{name}</Link>
            <button type="button" aria-label={`Remove ${name}`} onClick={() => remove(name)}>
              ×
            </button>
          </li>
        ))}
      </ul>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) save();
        }}
      >
        <label>
          Save this list as
          <input value={name} maxLength={60} onChange={(event) => setName(event.target.value)} />
        </label>
        <button type="submit">Save</button>
      </form>
    </Menu>
  );
}
