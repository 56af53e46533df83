/**
 * What happens, as the server tells it: one stream for the page that is shown.
 *
 * Events are gathered and given out four times a second at most, so that a page is drawn at its own
 * pace whatever comes. Who was cut off, or paused, goes on after the last event that was given out.
 */

import { useEffect, useRef, useState } from "react";
import { type LiveEvents, url } from "../api/client";

export type Connection = "connecting" | "live" | "reconnecting" | "paused";

export type Told = {
  [Name in keyof LiveEvents]: { readonly name: Name; readonly data: LiveEvents[Name] };
}[keyof LiveEvents];

const NAMES = ["run", "step", "spans", "end"] as const;
const GIVEN_EVERY_MS = 250;
/** A browser comes back by itself, but not where it was refused. */
const REFUSED_RETRY_MS = 5_000;

/**
 * @param topics what to hear of; null is nothing for now, and what comes meanwhile is told later
 * @param take given events in their order
 */
export function useStream(
  topics: string | null,
  take: (events: readonly Told[]) => void,
): Connection {
  const [state, setState] = useState<Connection>("connecting");
  const taken = useRef(take);
  taken.current = take;
  const last = useRef<{ topics: string; id: string } | null>(null);
  useEffect(() => {
    if (topics === null) {
      setState("paused");
      return;
    }
    const after = last.current?.topics === topics ? last.current.id : "";
    let id = after;
    let source: EventSource;
    let again: ReturnType<typeof setTimeout> | undefined;
    let giving: ReturnType<typeof setTimeout> | undefined;
    let waiting: Told[] = [];
    const give = () => {
      giving = undefined;
      const events = waiting;
      waiting = [];
      if (id !== "") last.current = { topics, id };
      taken.current(events);
    };
    const open = () => {
      source = new EventSource(url("/live", { topics, after: id }));
      for (const name of NAMES) {
        source.addEventListener(name, (event: MessageEvent<string>) => {
          id = event.lastEventId || id;
          waiting.push({ name, data: JSON.parse(event.data) } as Told);
          giving ??= setTimeout(give, GIVEN_EVERY_MS);
        });
      }
      source.onopen = () => setState("live");
      source.onerror = () => {
        setState("reconnecting");
        if (source.readyState === EventSource.CLOSED) again = setTimeout(open, REFUSED_RETRY_MS);
      };
    };
    setState(after === "" ? "connecting" : "reconnecting");
    open();
    return () => {
      source.close();
      clearTimeout(again);
      clearTimeout(giving);
      if (waiting.length > 0) give();
    };
  }, [topics]);
  return state;
}
