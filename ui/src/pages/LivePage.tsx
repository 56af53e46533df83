import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { Link } from "wouter";
import { type Activity, get } from "../api/client";
import { duration } from "../core/format";
import { followed, NOTHING } from "../core/tail";
import { useAddress } from "../frame/address";
import { useKeys } from "../frame/keys";
import { failure } from "../frame/reach";
import { type Told, useStream } from "../frame/stream";
import { ConnectionSign } from "../parts/ConnectionSign";
import { AgentFigures } from "../parts/live/AgentFigures";
import { OpenRuns } from "../parts/live/OpenRuns";
import { StepTail } from "../parts/live/StepTail";
import { Loading, Problem } from "../parts/Problem";

const TIMES: Readonly<Record<string, number>> = {
  "1m": 60,
  "10m": 600,
  "15m": 900,
  "1h": 3_600,
  "6h": 21_600,
  "1d": 86_400,
};
const WINDOWS = ["15m", "1h", "6h", "1d"];
const SILENCES = ["1m", "10m", "1h"];

/** Silence grows while nothing happens; and so soon at most after something did. */
const LOOK_EVERY_MS = 10_000;
const LOOK_AGAIN_MS = 2_000;

/** What agents do now. */
export function LivePage() {
  const address = useAddress();
  const agent = address.get("agent");
  const window = oneOf(WINDOWS, address.get("window"), "1h");
  const silence = oneOf(SILENCES, address.get("hung"), "10m");
  const [isPaused, setPaused] = useState(false);
  const [tail, setTail] = useState(NOTHING);
  const now = useQuery({
    queryKey: ["activity", agent, window, silence],
    queryFn: ({ signal }) =>
      get<Activity>(
        "/activity",
        { agent, window_s: TIMES[window]!, hung_after_s: TIMES[silence]! },
        signal,
      ),
    placeholderData: keepPreviousData,
    refetchInterval: isPaused ? false : LOOK_EVERY_MS,
    staleTime: 0,
  });
  const lookAgain = useSoon(LOOK_AGAIN_MS, () => void now.refetch());
  const connection = useStream(isPaused ? null : "runs", (events: readonly Told[]) => {
    for (const { name, data } of events)
      if (name === "step") setTail((known) => followed(known, data.rows, data.skipped));
    lookAgain();
  });
  useKeys([
    {
      keys: ["p"],
      label: isPaused ? "Go on" : "Pause",
      run: () => setPaused(!isPaused),
    },
  ]);
  const it = now.data;
  const failed = failure(now);
  const shown = agent === null ? tail.rows : tail.rows.filter((step) => step.agent_name === agent);
  return (
    <main id="main" className="live-page page">
      <title>Live · otel-traj</title>
      <header className="live-head">
        <h1>Live</h1>
        <ConnectionSign state={connection} />
        <button type="button" onClick={() => setPaused(!isPaused)} aria-keyshortcuts="p">
          {isPaused ? "Go on" : "Pause"}
        </button>
        <span className="grow" />
        <Choice
          label="Ended in the last"
          value={window}
          of={WINDOWS}
          onChoose={(next) => address.set({ window: next === "1h" ? null : next }, "replace")}
        />
        <Choice
          label="Hung after silence of"
          value={silence}
          of={SILENCES}
          onChoose={(next) => address.set({ hung: next === "10m" ? null : next }, "replace")}
        />
        {agent !== null && (
          <button type="button" onClick={() => address.set({ agent: null })}>
            <span aria-hidden="true">×</span> only <bdi>{agent.slice(0, 40)}</bdi>
          </button>
        )}
      </header>
      {isPaused && (
        <p className="banner">
          Paused: this is how it was. What happens meanwhile is shown when you go on.
        </p>
      )}
      {failed && <Problem error={failed} onRetry={() => void now.refetch()} />}
      {!it && !failed && <Loading what="what happens" />}
      {it && it.all === null && shown.length === 0 && <Quiet window={window} agent={agent} />}
      {it && it.all !== null && (
        <>
          <Section title="Agents">
            <AgentFigures
              all={it.all}
              agents={it.agents}
              onChoose={(name) => address.set({ agent: name })}
            />
          </Section>
          <Section title="Running now" n={it.n_open_runs}>
            <OpenRuns
              runs={it.open_runs}
              total={it.n_open_runs}
              hungAfterS={it.hung_after_s}
              lookedAt={now.dataUpdatedAt}
              isStill={isPaused}
            />
          </Section>
        </>
      )}
      {shown.length > 0 && (
        <Section title="Steps, the newest first">
          <StepTail steps={shown} nLeftOut={agent === null ? tail.n_left_out : 0} />
        </Section>
      )}
    </main>
  );
}

function Section({ title, n, children }: { title: string; n?: number; children: ReactNode }) {
  const id = `live-${title.split(/\W/)[0]!.toLowerCase()}`;
  return (
    <section aria-labelledby={id}>
      <h2 id={id}>
        {title} {n !== undefined && <span className="muted">{n}</span>}
      </h2>
      {children}
    </section>
  );
}

function Choice(props: {
  label: string;
  value: string;
  of: readonly string[];
  onChoose: (value: string) => void;
}) {
  return (
    <label className="choice">
      <span>{props.label}</span>
      <select value={props.value} onChange={(event) => props.onChoose(event.target.value)}>
        {props.of.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    </label>
  );
}

function Quiet({ window, agent }: { window: string; agent: string | null }) {
  return (
    <div className="empty">
      <h2>
        Nothing runs, and nothing ended in the last {duration(TIMES[window]! * 1e6)}
        {agent !== null && <> that is of this agent</>}
      </h2>
      <p>Start an agent that records into this store, and it shows here:</p>
      <pre>otel-traj run -- python agent.py</pre>
      <p>
        <Link href="/t">All runs that were recorded</Link>
      </p>
    </div>
  );
}

function oneOf(values: readonly string[], given: string | null, otherwise: string): string {
  return values.find((value) => value === given) ?? otherwise;
}

/** After so long, once, however often it was wanted meanwhile. */
function useSoon(ms: number, run: () => void): () => void {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const now = useRef(run);
  now.current = run;
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      now.current();
    }, ms);
  };
}
