const SIGNS: Readonly<Record<string, string>> = {
  success: "✓",
  failure: "✗",
  partial: "◐",
  error: "!",
  unknown: "?",
};
const WORDS: Readonly<Record<string, string>> = { success: "pass", failure: "fail" };

/** How good a run was: sign, word and colour, so that none of them is needed. */
export function Outcome({ outcome, source }: { outcome: string; source?: string | null }) {
  if (outcome === "success" && source === "builtin")
    return (
      <span className="outcome unknown" title="It came to its end; nobody judged what it did">
        <span aria-hidden="true">○</span> ended
      </span>
    );
  const told = source && source !== "unknown" ? `${outcome}, told by ${source}` : outcome;
  return (
    <span className={`outcome ${outcome in SIGNS ? outcome : "unknown"}`} title={told}>
      <span aria-hidden="true">{SIGNS[outcome] ?? "?"}</span> {WORDS[outcome] ?? outcome}
    </span>
  );
}
