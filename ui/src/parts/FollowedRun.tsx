import { type QueryClient, useIsFetching, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import type { RunHeader, SpanColumns } from "../api/client";
import { grown, type Later } from "../core/grown";
import { useStream } from "../frame/stream";
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
  const takeSpans = useTakenSpans(client, id);
  const askAgain = useAtMostEvery(ASKED_EVERY_MS, () =>
    Promise.all(PARTS.map((part) => client.invalidateQueries({ queryKey: [part, id] }))),
  );
  const state = useStream(`traj:${topic}`, (events) => {
    takeSpans(events.flatMap((event) => (event.name === "spans" ? [event.data] : [])));
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

/**
 * What is told joins what is known. While all is asked for it waits: the answer may be older, and
 * would take its place.
 */
function useTakenSpans(client: QueryClient, id: string): (told: readonly Later[]) => void {
  const all = { queryKey: ["spans", id], exact: true };
  const waiting = useRef<Later[]>([]);
  const take = () => {
    while (waiting.current.length > 0 && client.isFetching(all) === 0) {
      const told = waiting.current.shift()!;
      const known = client.getQueryData<SpanColumns>(all.queryKey);
      const joined = known && grown(known, told);
      if (joined) client.setQueryData(all.queryKey, joined);
      else void client.invalidateQueries(all).then(take);
    }
  };
  const isAsked = useIsFetching(all) > 0;
  useEffect(take, [isAsked]);
  return (told) => {
    waiting.current.push(...told);
    take();
  };
}

/**
 * At once; wanted again meanwhile, again after it is done and a pause. What takes long is neither
 * begun anew before its end nor left out as the last, be the component gone by then.
 */
function useAtMostEvery(ms: number, run: () => Promise<unknown>): () => void {
  const isBusy = useRef(false);
  const isWanted = useRef(false);
  return function want() {
    isWanted.current = true;
    if (isBusy.current) return;
    isBusy.current = true;
    void (async () => {
      while (isWanted.current) {
        isWanted.current = false;
        await run();
        await new Promise((done) => setTimeout(done, ms));
      }
      isBusy.current = false;
    })();
  };
}
