import { useState } from "react";
import type { Facets } from "../api/client";
import { count } from "../core/format";
import { oneLine } from "../core/hostile";
import type { Address } from "../frame/address";
import { FACETS, RANGES } from "../pages/filters";

const FEW = 6;
const UNITS: Readonly<Record<string, string>> = { dur: "s", cost: "USD" };
const LABELS: Readonly<Record<string, string>> = { dur: "Time", cost: "Cost", error: "Error type" };

export function FacetPanel({ facets, address }: { facets: Facets; address: Address }) {
  return (
    <>
      {FACETS.map((name) => (
        <Facet key={name} name={name} facet={facets.facets[name]} address={address} />
      ))}
      {RANGES.map((name) => (
        <Range key={name} name={name} histogram={facets.histograms[name]} address={address} />
      ))}
    </>
  );
}

function Facet(props: {
  name: string;
  facet: Facets["facets"][string] | undefined;
  address: Address;
}) {
  const { name, facet, address } = props;
  const [isWhole, setWhole] = useState(false);
  const chosen = new Set(address.all(name));
  const counted = facet?.values ?? [];
  // What is chosen is shown also where nothing has it any more, so that it can be taken away.
  const gone = [...chosen].filter((value) => !counted.some((one) => (one.value ?? "") === value));
  const values = [...counted, ...gone.map((value) => ({ value, count: 0 }))];
  if (values.length === 0 || (values.length === 1 && values[0]!.value === null)) return null;
  const shown = isWhole ? values : values.slice(0, FEW);
  const toggle = (value: string) => {
    const next = new Set(chosen);
    if (!next.delete(value)) next.add(value);
    address.set({ [name]: [...next] });
  };
  return (
    <fieldset className="facet">
      <legend>{LABELS[name] ?? name}</legend>
      {shown.map(({ value, count: n }) => {
        const label = value === null || value === "" ? "none" : oneLine(value);
        return (
          <label key={value} title={label}>
            <input
              type="checkbox"
              checked={chosen.has(value ?? "")}
              onChange={() => toggle(value ?? "")}
            />
            <span className="value">
              <bdi>{label}</bdi>
            </span>
            <span className="n">{count(n)}</span>
          </label>
        );
      })}
      {values.length > FEW && (
        <button type="button" className="link" onClick={() => setWhole(!isWhole)}>
          {isWhole ? "fewer" : `${values.length - FEW} more`}
        </button>
      )}
    </fieldset>
  );
}

function Range(props: {
  name: string;
  histogram: Facets["histograms"][string] | undefined;
  address: Address;
}) {
  const { name, histogram, address } = props;
  const [low = "", high = ""] = (address.get(name) ?? "").split("..");
  if (!histogram?.counts.some((n) => n > 0) && !low && !high) return null;
  const set = (from: string, to: string) =>
    address.set({ [name]: from || to ? `${from}..${to}` : null });
  const label = LABELS[name] ?? name;
  return (
    <fieldset className="facet range">
      <legend>
        {label} <span className="muted">{UNITS[name]}</span>
      </legend>
      {histogram && <Spark counts={histogram.counts} />}
      <Bound label={`${label} from`} value={low} onChange={(value) => set(value, high)} />
      <span aria-hidden="true">to</span>
      <Bound label={`${label} to`} value={high} onChange={(value) => set(low, value)} />
    </fieldset>
  );
}

function Bound(props: { label: string; value: string; onChange: (value: string) => void }) {
  return (
    <input
      key={props.value}
      aria-label={props.label}
      defaultValue={props.value}
      inputMode="decimal"
      onBlur={(event) => event.target.value !== props.value && props.onChange(event.target.value)}
      onKeyDown={(event) => event.key === "Enter" && props.onChange(event.currentTarget.value)}
    />
  );
}

function Spark({ counts }: { counts: readonly number[] }) {
  const most = Math.max(...counts, 1);
  return (
    <svg viewBox={`0 0 ${counts.length} 20`} preserveAspectRatio="none" aria-hidden="true">
      {counts.map((n, i) => (
        // One column each: their place is their name.
        <rect key={`${i}`} x={i} y={20 - (20 * n) / most} width={0.9} height={(20 * n) / most} />
      ))}
    </svg>
  );
}
