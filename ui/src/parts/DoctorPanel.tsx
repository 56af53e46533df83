import { useQuery } from "@tanstack/react-query";
import { type Doctor, get, type RunHeader, runPath } from "../api/client";
import { failure } from "../frame/reach";
import { Facts } from "./Detail";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";

/** What the run's telemetry does not tell, what was repaired, and what would close each gap. */
export function DoctorPanel({ run, header }: { run: string; header: RunHeader }) {
  const found = useQuery({
    queryKey: ["doctor", run],
    queryFn: ({ signal }) => get<Doctor>(`${runPath(run)}/doctor`, {}, signal),
  });
  const failed = failure(found);
  const it = header.coverage;
  return (
    <section className="doctor" aria-label="Doctor">
      <Facts
        of={[
          ["grade", it.grade && `${it.grade}: ${GRADES[it.grade] ?? ""}`],
          ["complete", it.is_complete === null ? null : it.is_complete ? "yes" : "no"],
          ["dialects", it.dialects.join(", ")],
          ["told twice", count(it.n_duplicates)],
          ["came late", count(it.n_late)],
          ["parent never came", count(it.n_orphans)],
          ["cut off", count(it.n_truncated)],
          ["without content", count(it.n_missing_content)],
          ["spans dropped", count(it.n_dropped_spans)],
          ["attributes dropped", count(it.n_dropped_attributes)],
          ["sampled", it.sampling_rate === null ? null : `${it.sampling_rate * 100} %`],
        ]}
      />
      {it.repairs.length > 0 && (
        <>
          <h3>Repairs</h3>
          <ul>
            {it.repairs.map((repair) => (
              <li key={repair.rule}>
                <Text text={repair.rule} />: {repair.count} times
                {repair.confidence !== null && `, confidence ${repair.confidence} or more`}
              </li>
            ))}
          </ul>
        </>
      )}
      {failed && <Problem error={failed} onRetry={() => void found.refetch()} />}
      {found.isPending && <Loading what="what the doctor says" />}
      {found.data && (
        <>
          {found.data.gaps.length > 0 && <h3>Gaps, and what closes them</h3>}
          <ul className="gaps">
            {found.data.gaps.map((gap) => (
              <li key={gap.name}>
                {gap.times} <Text text={`${gap.noun} ${gap.what}`} />
                {gap.remedies.map((remedy, i) => (
                  <p key={`${i}`} className="remedy">
                    {remedy.source && (
                      <>
                        <Text text={remedy.source} />:{" "}
                      </>
                    )}
                    <code>
                      <Text text={remedy.setting} />
                    </code>
                    {remedy.times < gap.times && ` (${remedy.times} of them)`}
                  </p>
                ))}
                {gap.details.length > 0 && (
                  <details>
                    <summary>Where</summary>
                    {gap.details.map((detail, i) => (
                      <p key={`${i}`}>
                        <Text text={detail} />
                      </p>
                    ))}
                  </details>
                )}
              </li>
            ))}
          </ul>
          {found.data.reasons.length > 0 && (
            <>
              <h3>Why steps are not graded A</h3>
              <ul>
                {found.data.reasons.map((reason, i) => (
                  <li key={`${i}`}>
                    {reason.grade}: <Text text={reason.reason ?? reason.kind} />, {reason.steps}{" "}
                    {reason.steps === 1 ? "step" : "steps"}
                  </li>
                ))}
              </ul>
            </>
          )}
          {found.data.gaps.length + found.data.reasons.length === 0 && <p>Nothing is missing.</p>}
        </>
      )}
    </section>
  );
}

const GRADES: Readonly<Record<string, string>> = {
  A: "can be replayed as it was",
  B: "can be replayed with what was repaired",
  C: "can be replayed in part",
  D: "cannot be replayed",
};

function count(n: number | null): string | null {
  return n ? String(n) : null;
}
