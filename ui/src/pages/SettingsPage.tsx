import { useId } from "react";
import { change, type Settings, useSettings } from "../frame/settings";

export function SettingsPage() {
  const settings = useSettings();
  return (
    <main id="main" className="page note">
      <title>Settings · otel-traj</title>
      <h1>Settings</h1>
      <p className="muted">Kept in this browser.</p>
      <Choice
        label="Theme"
        value={settings.theme}
        choices={{ system: "as the system", light: "light", dark: "dark" }}
        onChange={(theme) => change({ theme: theme as Settings["theme"] })}
      />
      <Choice
        label="Rows"
        value={settings.density}
        choices={{ compact: "compact", comfortable: "comfortable" }}
        onChange={(density) => change({ density: density as Settings["density"] })}
      />
      <label className="setting">
        <input
          type="checkbox"
          checked={settings.hasSingleKeys}
          onChange={(event) => change({ hasSingleKeys: event.target.checked })}
        />
        Single keys are shortcuts (switch this off when you dictate)
      </label>
    </main>
  );
}

function Choice(props: {
  label: string;
  value: string;
  choices: Readonly<Record<string, string>>;
  onChange: (value: string) => void;
}) {
  const id = useId();
  return (
    <p className="setting">
      <label htmlFor={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={(event) => props.onChange(event.target.value)}>
        {Object.entries(props.choices).map(([value, name]) => (
          <option key={value} value={value}>
            {name}
          </option>
        ))}
      </select>
    </p>
  );
}
