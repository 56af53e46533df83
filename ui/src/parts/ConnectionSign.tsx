import type { Connection } from "../frame/stream";

const SIGNS: Readonly<Record<Connection, readonly [string, string]>> = {
  connecting: ["○", "connecting"],
  live: ["●", "live"],
  reconnecting: ["◌", "reconnecting"],
  paused: ["‖", "paused"],
};

/** Whether what is shown is what happens now. */
export function ConnectionSign({ state }: { state: Connection }) {
  const [sign, word] = SIGNS[state];
  return (
    <span className={`connection ${state}`} role="status">
      <span aria-hidden="true">{sign}</span> {word}
    </span>
  );
}
