/**
 * Beyond this machine the server wants a token. Links and downloads cannot send one, so it is
 * changed for a cookie; the token itself is neither kept nor left in the address.
 */

import { ApiError, beginSession } from "../api/client";

/** Where `otel-traj view` printed a link with a token, and it was opened. */
export async function enterByLink(): Promise<void> {
  const token = new URLSearchParams(window.location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", window.location.pathname + window.location.search);
  // A wrong one shows when something is asked for: then it can be typed.
  await beginSession(token).catch(() => undefined);
}

export function wantsToken(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}
