import type { ReactNode } from "react";
import type { Address } from "../frame/address";
import { active } from "../pages/filters";
import { Text } from "./Text";

/** The filters that the address sets, each to be taken away; `children` stand after the last. */
export function ActiveFilters({ address, children }: { address: Address; children?: ReactNode }) {
  const filters = active(address);
  if (filters.length === 0) return null;
  return (
    <ul className="active-filters" aria-label="Filters that are set">
      {filters.map(({ label, clear }) => (
        <li key={label}>
          <Text text={label} />
          <button
            type="button"
            aria-label={`Take away ${label}`}
            onClick={() => address.set(clear)}
          >
            ×
          </button>
        </li>
      ))}
      {children && <li>{children}</li>}
    </ul>
  );
}
