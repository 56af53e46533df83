/** Numbers as a person reads them. Unknown is a dash, never 0. */

export const UNKNOWN = "–";

/** @param us microseconds */
export function duration(us: number | null | undefined): string {
  if (us === null || us === undefined || Number.isNaN(us)) return UNKNOWN;
  if (us < 1000) return `${Math.round(us)} µs`;
  if (us < 999.5e3) return `${significant(us / 1e3)} ms`;
  if (us < 59.95e6) return `${significant(us / 1e6)} s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return `${Math.floor(minutes / 60)}h ${pad(minutes % 60)}m`;
  return `${Math.floor(minutes / 1440)}d ${pad(Math.floor(minutes / 60) % 24)}h`;
}

export function cost(usd: number | null | undefined): string {
  if (usd === null || usd === undefined || Number.isNaN(usd)) return UNKNOWN;
  if (usd === 0) return "$0";
  if (Math.abs(usd) < 0.0001) return usd < 0 ? ">-$0.0001" : "<$0.0001";
  return `$${usd.toFixed(Math.abs(usd) < 0.1 ? 4 : 2)}`;
}

export function count(n: number | null | undefined): string {
  if (n === null || n === undefined || Number.isNaN(n)) return UNKNOWN;
  if (Math.abs(n) < 10000) return String(n);
  if (Math.abs(n) < 999.5e3) return `${significant(n / 1e3)}k`;
  if (Math.abs(n) < 999.5e6) return `${significant(n / 1e6)}M`;
  return `${significant(n / 1e9)}G`;
}

export function bytes(n: number): string {
  if (n < 1024) return `${n} B`;
  if (n < 1024 * 1024) return `${significant(n / 1024)} KiB`;
  return `${significant(n / 1024 / 1024)} MiB`;
}

export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || Number.isNaN(share)) return UNKNOWN;
  return `${significant(share * 100)} %`;
}

/** `1 error`, `2 errors`. */
export function counted(n: number | null, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** Exact whole numbers, with thin spaces. */
export function exact(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/**
 * Date and time where the reader is; what it has in common with `now` is left out. Times that nobody
 * told keep an order from 1970 on, and are unknown.
 */
export function moment(iso: string | null | undefined, now: Date): string {
  if (!iso) return UNKNOWN;
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return iso;
  if (at.getUTCFullYear() === 1970) return UNKNOWN;
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === now.toDateString()) return time;
  const day = `${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return at.getFullYear() === now.getFullYear()
    ? `${day} ${time}`
    : `${at.getFullYear()}-${day} ${time}`;
}

function significant(n: number): string {
  return n >= 99.95 ? String(Math.round(n)) : n >= 9.995 ? n.toFixed(1) : n.toFixed(2);
}

function pad(n: number): string {
  return String(n).padStart(2, "0");
}
