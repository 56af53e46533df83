import type { AgentActivity } from "../../api/client";
import { cost, count, duration, percent } from "../../core/format";
import { Text } from "../Text";

interface Figure {
  readonly label: string;
  /** what it counts, in words */
  readonly title: string;
  readonly of: (agent: AgentActivity) => string;
  readonly isBad?: (agent: AgentActivity) => boolean;
}

const FIGURES: readonly Figure[] = [
  { label: "Running", title: "Runs that go on", of: (a) => count(a.n_running) },
  {
    label: "Hung",
    title: "Runs that have not ended and are silent",
    of: (a) => count(a.n_hung),
    isBad: (a) => a.n_hung > 0,
  },
  { label: "Open steps", title: "Steps of these that go on", of: (a) => count(a.n_open_steps) },
  { label: "Ended", title: "Runs that ended in the window", of: (a) => count(a.n_ended) },
  { label: "Per min", title: "Runs that ended, a minute", of: (a) => a.ended_per_min.toFixed(2) },
  {
    label: "Succeed",
    title: "Share of the runs that ended and that somebody judged",
    of: (a) => `${percent(a.success_rate)} of ${count(a.n_judged)}`,
  },
  {
    label: "Broken",
    title: "Share of the runs that ended in an error, an abort or a timeout",
    of: (a) => percent(a.broken_rate),
    isBad: (a) => a.n_broken > 0,
  },
  {
    label: "Tool errors",
    title: "Share of the tool calls that failed",
    of: (a) => `${percent(a.tool_error_rate)} of ${count(a.n_tools)}`,
  },
  {
    label: "Median",
    title: "Median time of the runs that ended",
    of: (a) => seconds(a.median_run_s),
  },
  {
    label: "95 %",
    title: "Time that 95 % of the runs stay below",
    of: (a) => seconds(a.p95_run_s),
  },
  {
    label: "Model 95 %",
    title: "Time that 95 % of the model calls stay below",
    of: (a) => seconds(a.p95_model_call_s),
  },
  {
    label: "Cost",
    title: "US dollars of open runs and of those that ended; where some are unknown it is more",
    of: (a) => `${cost(a.cost_usd)}${a.cost_usd !== null && a.n_cost_unknown > 0 ? " +?" : ""}`,
  },
];

/** How all agents do, and each of them. */
export function AgentFigures(props: {
  all: AgentActivity;
  agents: readonly AgentActivity[];
  onChoose: (agent: string) => void;
}) {
  return (
    <table className="cards">
      <thead>
        <tr>
          <th scope="col">Agent</th>
          {FIGURES.map(({ label, title }) => (
            <th key={label} scope="col" className="number" title={title}>
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {[props.all, ...props.agents].map((agent) => (
          <tr key={agent.is_all ? "all" : `agent ${agent.agent_name}`}>
            <th scope="row">
              {agent.is_all ? (
                "All"
              ) : agent.agent_name === null ? (
                <span className="muted">no name</span>
              ) : (
                <button
                  type="button"
                  className="link name"
                  onClick={() => props.onChoose(agent.agent_name!)}
                >
                  <Text text={agent.agent_name} />
                </button>
              )}
            </th>
            {FIGURES.map(({ label, of, isBad }) => (
              <td
                key={label}
                data-label={label}
                className={`number${isBad?.(agent) ? " failed" : ""}`}
              >
                {of(agent)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function seconds(s: number | null): string {
  return duration(s === null ? null : s * 1e6);
}
