import { Link, useLocation } from "wouter";
import { useKeys } from "../frame/keys";

/** Where two runs stand side by side; without the other one, that is the nearest success. */
export function comparePath(a: string, b?: string): string {
  const path = `/compare/${encodeURIComponent(a)}`;
  return b === undefined ? path : `${path}/${encodeURIComponent(b)}`;
}

/** Leads from what is selected in the list to its comparison. */
export function CompareSelected({ selected }: { selected: ReadonlySet<string> }) {
  const [, go] = useLocation();
  const [a, b] = selected;
  const to =
    a === undefined || selected.size > 2 ? null : b === undefined ? null : comparePath(a, b);
  useKeys([
    { keys: ["c"], label: "Compare the two selected runs", run: () => to !== null && go(to) },
  ]);
  if (to === null) return <span className="muted">select two to compare them</span>;
  return (
    <Link href={to} className="button">
      Compare <kbd aria-hidden="true">c</kbd>
    </Link>
  );
}
