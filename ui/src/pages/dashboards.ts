/** Which analyses stand on which page, and how each is drawn. */

export interface Dashboard {
  readonly name: string;
  readonly title: string;
  readonly asks: string;
  readonly analyses: readonly string[];
}

export const DASHBOARDS: readonly Dashboard[] = [
  {
    name: "outcomes",
    title: "Outcomes",
    asks: "How attempts ended, and where those that failed went wrong",
    analyses: ["outcomes", "attribution"],
  },
  {
    name: "tools",
    title: "Tools",
    asks: "Which tools work, which fail, and what becomes of their results",
    analyses: ["tool_effectiveness", "tool_errors", "tool_followups", "waste", "thinking_patterns"],
  },
  {
    name: "patterns",
    title: "Patterns",
    asks: "What runs that succeed do and runs that fail do not, among tries at the same task",
    analyses: ["success_patterns", "failure_patterns", "prefix_value", "first_divergence"],
  },
  {
    name: "flow",
    title: "Flow",
    asks: "Which call follows which, and how often that ends well",
    analyses: ["process_map", "variants"],
  },
  {
    name: "cost",
    title: "Cost",
    asks: "What models cost, and where success costs more calls than it has to",
    analyses: ["token_cost", "performance_patterns"],
  },
  {
    name: "latency",
    title: "Latency",
    asks: "Where the time of runs goes, and which runs hang",
    analyses: ["latency", "open_runs"],
  },
  {
    name: "drift",
    title: "Drift",
    asks: "How agents change from week to week and from version to version",
    analyses: ["drift", "cohorts"],
  },
  {
    name: "record",
    title: "Recording",
    asks: "What recordings do not tell, and what to record to know more",
    analyses: ["coverage"],
  },
];

/** What must be recorded before an analysis can tell anything: names of `coverage`. */
export const NEEDS: Readonly<Record<string, readonly string[]>> = {
  outcomes: ["task", "outcome"],
  attribution: ["outcome"],
  success_patterns: ["outcome", "task"],
  failure_patterns: ["outcome", "task"],
  prefix_value: ["outcome", "task"],
  first_divergence: ["outcome", "task"],
  performance_patterns: ["outcome", "task"],
  thinking_patterns: ["reasoning"],
  waste: ["arguments", "result"],
  tool_followups: ["result", "messages"],
  token_cost: ["model", "tokens", "cost"],
  latency: ["duration"],
  cohorts: ["agent version", "task", "outcome"],
};

/** The first page, of the runs that the list or another page of analyses shows. */
export function analysisHref(path: string, search: string): string {
  const asked = new URLSearchParams(path === "/t" || path.startsWith("/analysis") ? search : "");
  for (const name of ["sort", "sel"]) asked.delete(name);
  const query = asked.toString();
  return `/analysis/${DASHBOARDS[0]!.name}${query === "" ? "" : `?${query}`}`;
}
