import { useMemo } from "react";
import type { AnalysisAnswer } from "../../api/client";

export type Badge = AnalysisAnswer["labels"][number];

/** Label -> how it is shown. */
export function useBadges(answer: AnalysisAnswer): ReadonlyMap<string, Badge> {
  return useMemo(() => new Map(answer.labels.map((badge) => [badge.label, badge])), [answer]);
}

/** A label: sign, word and colour, so that none of them is needed. */
export function Label({ badge, needed }: { badge: Badge; needed?: string | null }) {
  return (
    <span className={`badge ${badge.tone}`} title={badge.meaning}>
      <span aria-hidden="true">{badge.sign}</span> {badge.label}
      {needed && `: ${needed} needed`}
    </span>
  );
}

/** A text of ours, in which `code` stands between backticks. */
export function Coded({ text }: { text: string }) {
  return text.split("`").map((part, i) => (i % 2 ? <code key={`${i}`}>{part}</code> : part));
}
