/** Hunks as lines with the numbers of both sides. */

export interface Hunk {
  readonly old_start: number;
  readonly new_start: number;
  readonly old_lines: number;
  readonly new_lines: number;
  /** each begins with a space, `-` or `+`; `\` is a remark */
  readonly lines: readonly string[];
}

export interface DiffLine {
  readonly kind: "same" | "added" | "removed" | "hunk" | "note";
  readonly text: string;
  readonly before: number | null;
  readonly after: number | null;
}

export function diffLines(hunks: readonly Hunk[]): DiffLine[] {
  return hunks.flatMap((hunk) => {
    let before = hunk.old_start;
    let after = hunk.new_start;
    const { old_start, old_lines, new_start, new_lines } = hunk;
    const head = `@@ -${old_start},${old_lines} +${new_start},${new_lines} @@`;
    return [
      { kind: "hunk" as const, text: head, before: null, after: null },
      ...hunk.lines.map((line): DiffLine => {
        const text = line.slice(1);
        if (line.startsWith("+")) return { kind: "added", text, before: null, after: after++ };
        if (line.startsWith("-")) return { kind: "removed", text, before: before++, after: null };
        if (line.startsWith("\\")) return { kind: "note", text: line, before: null, after: null };
        return { kind: "same", text, before: before++, after: after++ };
      }),
    ];
  });
}
