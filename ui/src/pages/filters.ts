/** The list's filters, as they stand in the address and as the API takes them: the same names. */

import type { Parameters } from "../api/client";
import type { Address } from "../frame/address";

/** Fields with values to choose from. */
export const FACETS = ["outcome", "agent", "tool", "model", "error", "task", "service"] as const;
/** Fields of numbers with a distribution. */
export const RANGES = ["dur", "cost"] as const;
/** Runs chosen one by one, elsewhere. */
const CHOSEN = "id";
const SINGLE = ["q", ...RANGES, "since", "until"] as const;

export const NEWEST_FIRST = "-start";

export function filtersOf(address: Address): Parameters {
  return {
    ...Object.fromEntries(SINGLE.map((name) => [name, address.get(name)])),
    ...Object.fromEntries([...FACETS, CHOSEN].map((name) => [name, address.all(name)])),
  };
}

/** Each filter that is set, in words, and what takes it away. */
export function active(
  address: Address,
): { label: string; clear: Record<string, null | string[]> }[] {
  const found: { label: string; clear: Record<string, null | string[]> }[] = [];
  for (const name of FACETS) {
    const values = address.all(name);
    for (const value of values) {
      const rest = values.filter((other) => other !== value);
      found.push({ label: `${name}: ${value === "" ? "none" : value}`, clear: { [name]: rest } });
    }
  }
  const n = address.all(CHOSEN).length;
  if (n > 0)
    found.push({ label: n === 1 ? "1 chosen run" : `${n} chosen runs`, clear: { [CHOSEN]: null } });
  for (const name of RANGES) {
    const value = address.get(name);
    if (value) found.push({ label: `${name}: ${value}`, clear: { [name]: null } });
  }
  const [since, until] = [address.get("since"), address.get("until")];
  if (since || until) {
    const label = `${since ? short(since) : "…"} to ${until ? short(until) : "now"}`;
    found.push({ label, clear: { since: null, until: null } });
  }
  return found;
}

export const NOTHING: Record<string, null> = Object.fromEntries(
  [...FACETS, CHOSEN, ...SINGLE].map((name) => [name, null]),
);

function short(iso: string): string {
  return iso.slice(0, 16).replace("T", " ");
}
