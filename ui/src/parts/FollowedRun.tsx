import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { RunHeader, SpanColumns } from "../api/client";
import { grown } from "../core/grown";
import { type Told, useStream } from "../frame/stream";
import { ConnectionSign } from "./ConnectionSign";

/** What a run is read from beside its spans; asked for again at most so often. */
const PARTS = ["run", "transcript", "steps", "files", "diff", "doctor"];
const ASKED_EVERY_MS = 1_000;

/** Keeps what the page shows of a run up to date while that goes on. */
export function FollowedRun({ id, run }: { id: string; run: RunHeader | undefined }) {
  return run?.status === "open" ? <Following id={id} topic={run.trajectory_id} /> : null;
}

function Following({ id, topic }: { id: string; topic: string }) {
  const client = useQueryClient();
  const askAgain = useAtMostEvery(ASKED_EVERY_MS, () => {
    for (const part of PARTS) void client.invalidateQueries({ queryKey: [part, id] });
  });
  const state = useStream(`traj:${topic}`, (events) => {
    for (const event of events) if (event.name === "spans") takeSpans(client, id, event);
    // Whatever went wrong on the way: in the end it is what is stored.
    if (events.some((event) => event.name === "end"))
      void client.invalidateQueries({ queryKey: ["spans", id] });
    if (events.some((event) => event.name !== "spans")) askAgain();
  });
  return (
    <p className="run-facts">
      <ConnectionSign state={state} />
    </p>
  );
}

function takeSpans(client: QueryClient, id: string, { data }: Extract<Told, { name: "spans" }>) {
  const queryKey = ["spans", id];
  const known = client.getQueryData<SpanColumns>(queryKey);
  if (!known) return; // they are being asked for, and are newer than this
  const all = grown(known, data);
  if (all) client.setQueryData(queryKey, all);
  else void client.invalidateQueries({ queryKey });
}

/** At once, then again when it was wanted within the time. */
function useAtMostEvery(ms: number, run: () => void): () => void {
  const now = useRef(run);
  now.current = run;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const isWanted = useRef(false);
  useEffect(() => () => clearTimeout(timer.current), []);
  return function want() {
    if (timer.current !== undefined) {
      isWanted.current = true;
      return;
    }
    now.current();
    timer.current = setTimeout(() => {
      timer.current = undefined;
      if (!isWanted.current) return;
      isWanted.current = false;
      want();
    }, ms);
  };
}
