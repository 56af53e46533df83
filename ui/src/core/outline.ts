/** A run as a list of lines: its steps in order, and above those of sub-agents, their names. */

import { labelOf, type Spans } from "./spans";

export interface OutlineLine {
  /** where it leads: the step, or the first one of the sub-agent */
  readonly step: number;
  readonly kind: string | null;
  readonly label: string;
  readonly isError: boolean;
  /** how many agents are above it, the run's own left out */
  readonly depth: number;
  /** of a sub-agent: how many of its spans are steps; null: a step */
  readonly nSteps: number | null;
}

export function outline(spans: Spans): OutlineLine[] {
  const lines: OutlineLine[] = [];
  const agents = new Int32Array(spans.n);
  const nSteps = new Int32Array(spans.n);
  const first = new Int32Array(spans.n).fill(-1);
  for (let row = spans.n - 1; row >= 0; row--) {
    const own = spans.step[row]!;
    if (own >= 0) {
      nSteps[row]!++;
      first[row] = first[row]! < 0 ? own : Math.min(first[row]!, own);
    }
    const above = spans.parent[row]!;
    if (above < 0 || first[row]! < 0) continue;
    nSteps[above] = nSteps[above]! + nSteps[row]!;
    first[above] = first[above]! < 0 ? first[row]! : Math.min(first[above]!, first[row]!);
  }
  for (let row = 0; row < spans.n; row++) {
    const above = spans.parent[row]!;
    const kind = labelOf(spans.kind, row);
    const isSub = kind === "agent" && above >= 0 && isInAgent(spans, above);
    agents[row] = (above < 0 ? 0 : agents[above]!) + (isSub ? 1 : 0);
    const isStep = spans.step[row]! >= 0;
    if (!isStep && !(isSub && nSteps[row]! > 0)) continue;
    lines.push({
      step: isStep ? spans.step[row]! : first[row]!,
      kind,
      label: labelOfRow(spans, row, isSub),
      isError: spans.hasError[row] === 1,
      depth: agents[row]! - (isSub ? 1 : 0),
      nSteps: isSub ? nSteps[row]! - (isStep ? 1 : 0) : null,
    });
  }
  // A sub-agent stands above the steps that it leads to.
  return lines.sort((a, b) => a.step - b.step || a.depth - b.depth);
}

/** The line of a step, or the last one before it; -1 before all. */
export function lineOf(lines: readonly OutlineLine[], step: number): number {
  let found = -1;
  for (let i = 0; i < lines.length && lines[i]!.step <= step; i++) found = i;
  return found;
}

function labelOfRow(spans: Spans, row: number, isAgent: boolean): string {
  const agent = isAgent ? labelOf(spans.agent, row) : null;
  return (
    agent ??
    labelOf(spans.tool, row) ??
    labelOf(spans.model, row) ??
    labelOf(spans.name, row) ??
    "(no name)"
  );
}

function isInAgent(spans: Spans, row: number): boolean {
  for (let at = row; at >= 0; at = spans.parent[at]!) {
    if (labelOf(spans.kind, at) === "agent") return true;
  }
  return false;
}
