-- name: tokens_summed
-- The tokens in a header are the sums over the run's model calls, and unknown where no call says.
-- grain: one row per trajectory with a wrong sum

with summed as (
    select
        trajectory_id,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cache_read_tokens) as cache_read_tokens,
        sum(cache_write_tokens) as cache_write_tokens,
        sum(reasoning_tokens) as reasoning_tokens
    from steps
    where kind = 'llm'
    group by trajectory_id
)

select
    trajectories.trajectory_id,  -- the run
    trajectories.input_tokens,  -- as the header says; NULL: unknown
    summed.input_tokens as summed_input_tokens,  -- over rows of kind llm; NULL: none says
    trajectories.output_tokens,  -- as the header says; NULL: unknown
    summed.output_tokens as summed_output_tokens,  -- over rows of kind llm; NULL: none says
    trajectories.cache_read_tokens,  -- as the header says; NULL: unknown
    summed.cache_read_tokens as summed_cache_read_tokens,  -- over kind llm; NULL: none says
    trajectories.cache_write_tokens,  -- as the header says; NULL: unknown
    summed.cache_write_tokens as summed_cache_write_tokens,  -- over kind llm; NULL: none says
    trajectories.reasoning_tokens,  -- as the header says; NULL: unknown
    summed.reasoning_tokens as summed_reasoning_tokens  -- over kind llm; NULL: none says
from trajectories
left join summed on summed.trajectory_id = trajectories.trajectory_id
where
    trajectories.input_tokens is distinct from summed.input_tokens
    or trajectories.output_tokens is distinct from summed.output_tokens
    or trajectories.cache_read_tokens is distinct from summed.cache_read_tokens
    or trajectories.cache_write_tokens is distinct from summed.cache_write_tokens
    or trajectories.reasoning_tokens is distinct from summed.reasoning_tokens
order by trajectories.trajectory_id;
