/**
 * What to do while the server is not reached: what is shown stays, the page says that it is how it
 * was, and asks again by itself once there is an answer.
 */

import { type Query, type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { ApiError, get } from "../api/client";

const LOOK_EVERY_MS = 2_000;

export function wasNotReached(error: unknown): boolean {
  return error instanceof ApiError && error.status === 0;
}

/** Why there is nothing to show; null while there is, be it from before the server went away. */
export function failure(asked: { error: Error | null; data: unknown }): Error | null {
  return asked.data !== undefined && wasNotReached(asked.error) ? null : asked.error;
}

/** Whether something that is shown could not be asked for again. */
export function useIsAway(): boolean {
  const client = useQueryClient();
  const cache = client.getQueryCache();
  const isAway = useSyncExternalStore(
    (changed) => cache.subscribe(changed),
    () => cache.findAll(UNREACHED).length > 0,
  );
  useEffect(() => {
    if (!isAway) return;
    const timer = setInterval(() => void askAgain(client), LOOK_EVERY_MS);
    return () => clearInterval(timer);
  }, [isAway, client]);
  return isAway;
}

const UNREACHED = {
  type: "active",
  predicate: ({ state }: Query) => wasNotReached(state.error),
} as const;

/** A look first: who waits for an answer is not shown one failure after the other. */
async function askAgain(client: QueryClient): Promise<void> {
  const answer = await get("/meta").catch((error: unknown) => error);
  if (!wasNotReached(answer)) await client.refetchQueries(UNREACHED, { cancelRefetch: false });
}
