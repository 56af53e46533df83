/** Queries to begin with. */
export const EXAMPLES: readonly { readonly title: string; readonly sql: string }[] = [
  {
    title: "How runs end, by agent",
    sql: `select agent_name, outcome, count(*) as runs, round(avg(duration_s), 1) as seconds
from trajectories
group by all
order by runs desc`,
  },
  {
    title: "Tools that fail",
    sql: `select tool_name, count(*) as calls,
    count(*) filter (where status = 'error') as errors,
    round(avg((status = 'error')::int), 3) as error_rate
from steps
where kind = 'tool'
group by tool_name
order by errors desc, calls desc`,
  },
  {
    title: "Steps that took longest",
    sql: `select trajectory_id, step, kind, coalesce(tool_name, model) as what, duration_s
from steps
order by duration_s desc nulls last
limit 50`,
  },
  {
    title: "Runs that cost most",
    sql: `select trajectory_id, agent_name, outcome, cost_usd, input_tokens, output_tokens
from trajectories
where cost_usd is not null
order by cost_usd desc
limit 50`,
  },
  {
    title: "Errors and what they say",
    sql: `select error_type, left(error_message, 200) as message, count(*) as steps,
    count(distinct trajectory_id) as runs
from steps
where status = 'error'
group by all
order by steps desc`,
  },
  {
    title: "Runs per hour",
    sql: `select date_trunc('hour', start_time) as hour, count(*) as runs
from trajectories
group by hour
order by hour`,
  },
];
