/** What spans and steps are, in a sign, a word and a colour; the colour is never alone. */

export type Family = "agent" | "llm" | "tool" | "io" | "other";

const FAMILIES: Readonly<Record<string, Family>> = {
  agent: "agent",
  handoff: "agent",
  llm: "llm",
  thought: "llm",
  tool: "tool",
  retrieval: "io",
  memory: "io",
  http: "io",
  db: "io",
};

const SIGNS: Readonly<Record<Family, string>> = {
  agent: "◆",
  llm: "✦",
  tool: "▣",
  io: "⇄",
  other: "·",
};

export function familyOf(kind: string | null): Family {
  return FAMILIES[kind ?? ""] ?? "other";
}

export function signOf(kind: string | null): string {
  return kind === "user" ? "☻" : SIGNS[familyOf(kind)];
}
