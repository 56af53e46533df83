/** A unified diff as lines with the numbers of both sides. */

export interface DiffLine {
  readonly kind: "same" | "added" | "removed" | "hunk" | "note";
  readonly text: string;
  readonly before: number | null;
  readonly after: number | null;
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

/** Heads of files are left out; what is none of a diff becomes a note. */
export function diffLines(text: string): DiffLine[] {
  const lines: DiffLine[] = [];
  let before = 0;
  let after = 0;
  let left = 0; // lines of the hunk that are still to come, on either side
  let right = 0;
  for (const line of text.replace(/\n$/, "").split("\n")) {
    const hunk = HUNK.exec(line);
    if (left <= 0 && right <= 0 && hunk) {
      [before, after] = [Number(hunk[1]), Number(hunk[3])];
      [left, right] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
      lines.push({ kind: "hunk", text: line, before: null, after: null });
    } else if (left <= 0 && right <= 0) {
      if (!/^(diff |index |--- |\+\+\+ |new file|deleted file|similarity|rename |old mode)/.test(line)) {
        lines.push({ kind: "note", text: line, before: null, after: null });
      }
    } else if (line.startsWith("+")) {
      lines.push({ kind: "added", text: line.slice(1), before: null, after: after++ });
      right--;
    } else if (line.startsWith("-")) {
      lines.push({ kind: "removed", text: line.slice(1), before: before++, after: null });
      left--;
    } else if (line.startsWith("\\")) {
      lines.push({ kind: "note", text: line, before: null, after: null });
    } else {
      lines.push({ kind: "same", text: line.slice(1), before: before++, after: after++ });
      left--;
      right--;
    }
  }
  return lines;
}
