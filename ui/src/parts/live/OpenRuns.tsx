import { useEffect, useState } from "react";
import { Link } from "wouter";
import type { RunNow } from "../../api/client";
import { duration } from "../../core/format";
import { oneLine } from "../../core/hostile";
import { Text } from "../Text";

interface Props {
  readonly runs: readonly RunNow[];
  readonly total: number;
  readonly hungAfterS: number;
  /** when the server was asked, ms since 1970: times go on from there */
  readonly lookedAt: number;
  readonly isStill: boolean;
}

/** Runs that have not ended, those silent for longest first. */
export function OpenRuns({ runs, total, hungAfterS, lookedAt, isStill }: Props) {
  const passed = usePassed(lookedAt, isStill);
  if (runs.length === 0) return <p className="muted">Nothing runs.</p>;
  return (
    <>
      <table className="cards">
        <thead>
          <tr>
            {["State", "Run", "Agent", "Runs for", "Silent for", "Waits in", "Usually"].map(
              (name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ),
            )}
          </tr>
        </thead>
        <tbody>
          {runs.map((run) => (
            <tr key={run.trajectory_id}>
              <td data-label="State" className={run.state === "hung" ? "failed" : "running"}>
                <State run={run} hungAfterS={hungAfterS} />
              </td>
              <th scope="row">
                <Link href={runHref(run)}>
                  <bdi>{oneLine(run.task ?? run.trajectory_id)}</bdi>
                </Link>
              </th>
              <td data-label="Agent">
                <span className="clamped">{run.agent_name && <Text text={run.agent_name} />}</span>
              </td>
              <td data-label="Runs for" className="when">
                {later(run.elapsed_s, passed)}
              </td>
              <td data-label="Silent for" className="when">
                {later(run.silent_s, passed)}
              </td>
              <td data-label="Waits in">
                <Place run={run} />
              </td>
              <td data-label="Usually">
                {run.usual_s === null ? (
                  <span className="muted" title="Too few runs of this agent have ended">
                    not known
                  </span>
                ) : (
                  duration(run.usual_s * 1e6)
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {total > runs.length && <p className="muted">and {total - runs.length} more</p>}
    </>
  );
}

function State({ run, hungAfterS }: { run: RunNow; hungAfterS: number }) {
  if (run.state !== "hung")
    return (
      <>
        <span aria-hidden="true">▶</span> running
      </>
    );
  return (
    <>
      <span aria-hidden="true">■</span> hung
      <small>silent for more than {duration(hungAfterS * 1e6)}</small>
    </>
  );
}

function Place({ run }: { run: RunNow }) {
  if (run.step === null) return <span className="muted">between steps</span>;
  return (
    <Link href={`${runHref(run)}?step=${run.step}`}>
      step {run.step}: {run.kind}
      {run.name && (
        <>
          {" "}
          <Text text={run.name} />
        </>
      )}
    </Link>
  );
}

function runHref(run: RunNow): string {
  return `/t/${encodeURIComponent(run.trajectory_id)}`;
}

function later(s: number | null, passedS: number): string {
  return duration(s === null ? null : Math.floor(s + passedS) * 1e6);
}

/** Seconds since a time, as they pass. */
function usePassed(since: number, isStill: boolean): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    if (isStill) return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [isStill]);
  return Math.max(0, (now - since) / 1_000);
}
