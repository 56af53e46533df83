import { memo } from "react";
import { Link } from "wouter";
import type { LiveStep } from "../../api/client";
import { cost, duration, exact, moment } from "../../core/format";
import { oneLine } from "../../core/hostile";
import { keyOf } from "../../core/tail";
import { Text } from "../Text";

/** Steps that ended, in any run. */
export function StepTail({ steps, nLeftOut }: { steps: readonly LiveStep[]; nLeftOut: number }) {
  return (
    <>
      <table className="cards tail">
        <thead>
          <tr>
            {["Ended", "Agent", "Step", "Took", "Cost", "What came of it"].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map((step) => (
            <Line key={keyOf(step)} step={step} />
          ))}
        </tbody>
      </table>
      {nLeftOut > 0 && (
        <p className="muted">
          {exact(nLeftOut)} earlier ones are not shown; <Link href="/t">the runs</Link> have all.
        </p>
      )}
    </>
  );
}

const Line = memo(
  function Line({ step }: { step: LiveStep }) {
    const isWrong = step.status === "error";
    return (
      <tr>
        <td data-label="Ended" className="when">
          {moment(step.end_time ?? step.start_time, new Date())}
        </td>
        <td data-label="Agent">
          <span className="clamped">{step.agent_name && <Text text={step.agent_name} />}</span>
        </td>
        <th scope="row">
          <Link href={`/t/${encodeURIComponent(step.trajectory_id)}?step=${step.step}`}>
            {step.kind}
            {step.action && (
              <>
                {" "}
                <Text text={step.action} />
              </>
            )}
          </Link>
        </th>
        <td data-label="Took" className="when">
          {duration(step.duration_s === null ? null : step.duration_s * 1e6)}
        </td>
        <td data-label="Cost" className="when">
          {cost(step.cost_usd)}
        </td>
        <td className={`preview${isWrong ? " failed" : ""}`}>
          <span className="clamped">
            {isWrong && (
              <span title="It failed">✗ {step.error_type && <Text text={step.error_type} />} </span>
            )}
            {step.preview && <bdi>{oneLine(step.preview)}</bdi>}
          </span>
        </td>
      </tr>
    );
  },
  (a, b) => a.step === b.step,
);
