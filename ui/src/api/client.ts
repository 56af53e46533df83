/** Asks the API; what it answers is typed by its own OpenAPI document (`npm run api`). */

import type { components } from "./schema";

type Schemas = components["schemas"];
export type Meta = Schemas["Meta"];
export type Run = Schemas["TrajectoryRow"];
export type RunPage = Schemas["TrajectoryPage"];
export type RunHeader = Schemas["TrajectoryHeader"];
export type Seen = Schemas["Seen"];
export type Facets = Schemas["Facets"];
export type Histogram = Schemas["Histogram"];
export type SpanColumns = Schemas["Spans"];
export type Verdict = Schemas["Verdict"];

const ROOT = "/api/ot/v1";

export type Parameters = Readonly<
  Record<string, string | number | readonly string[] | null | undefined>
>;

/** Why there is no answer. `status` is 0 where the server was not reached. */
export class ApiError extends Error {
  readonly status: number;
  readonly title: string;
  /** Where in what was asked, in code points. */
  readonly at: number | null;

  constructor(status: number, title: string, detail: string, at: number | null = null) {
    super(detail);
    this.status = status;
    this.title = title;
    this.at = at;
  }
}

export function url(path: string, parameters: Parameters = {}): string {
  const asked = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === null || value === undefined || value === "") continue;
    if (typeof value === "object") for (const one of value) asked.append(name, one);
    else asked.set(name, String(value));
  }
  const query = asked.toString();
  return `${ROOT}${path}${query === "" ? "" : `?${query}`}`;
}

export async function get<T>(
  path: string,
  parameters: Parameters = {},
  signal?: AbortSignal,
): Promise<T> {
  return JSON.parse(await getText(url(path, parameters), signal)) as T;
}

export async function getText(address: string, signal?: AbortSignal): Promise<string> {
  const answer = await reached(address, { signal: signal ?? null });
  return answer.text().catch((error: unknown) => notReached(error, signal));
}

/** Sends something, and says by what no page of another origin may say that a page of ours does. */
export async function post(
  path: string,
  body: unknown,
  { signal, accept = "application/json" }: { signal?: AbortSignal; accept?: string } = {},
): Promise<Response> {
  return reached(url(path), {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Otel-Traj": "1", Accept: accept },
    body: JSON.stringify(body),
    signal: signal ?? null,
  });
}

/** Changes the token for a cookie that links and downloads send too. */
export async function beginSession(token: string): Promise<void> {
  const headers = { Authorization: `Bearer ${token}` };
  await reached(url("/session"), { method: "POST", headers });
}

async function reached(address: string, asked: RequestInit = {}): Promise<Response> {
  const answer = await fetch(address, { ...asked, credentials: "same-origin" }).catch(
    (error: unknown) => notReached(error, asked.signal),
  );
  if (answer.ok) return answer;
  throw await problemOf(answer);
}

/** Before an answer, or within one. */
function notReached(error: unknown, signal?: AbortSignal | null): never {
  if (signal?.aborted) throw error;
  throw new ApiError(
    0,
    "The server does not answer",
    "Is it still running? Start it again with: otel-traj view",
  );
}

async function problemOf(answer: Response): Promise<ApiError> {
  try {
    const told = (await answer.json()) as Partial<Schemas["Problem"]> & { at?: number };
    return new ApiError(
      answer.status,
      told.title ?? answer.statusText,
      told.detail ?? "",
      told.at ?? null,
    );
  } catch {
    return new ApiError(answer.status, answer.statusText || `HTTP ${answer.status}`, "");
  }
}

export type Text = Schemas["Text"];
export type Media = Schemas["Media"];
export type Part = Schemas["Part"];
export type Message = Schemas["ToldMessage"];
export type ToolRequest = Schemas["ToolRequest"];
export type Piece = Schemas["Piece"];
export type StepRow = Schemas["StepRow"];
export type StepPage = Schemas["StepPage"];
export type StepDetail = Schemas["StepDetail"];
export type Transcript = Schemas["Transcript"];
export type TranscriptStep = Schemas["TranscriptStep"];
export type TranscriptAgent = Schemas["TranscriptAgent"];
export type Files = Schemas["Files"];
export type FileOfStep = Schemas["FileOfStep"];
export type Diff = Schemas["Diff"];
export type Attribute = Schemas["Attribute"];
export type SpanDetail = Schemas["SpanDetail"];
export type Found = Schemas["Found"];

/** Where all of one run lies. */
export function runPath(id: string): string {
  return `/trajectories/${encodeURIComponent(id)}`;
}
export type Doctor = Schemas["Doctor"];
export type AnalysisAnswer = Schemas["AnalysisAnswer"];
export type AnalysisRow = Schemas["AnalysisRow"];
export type AnalysisSummary = Schemas["AnalysisSummary"];
export type Comparison = Schemas["Comparison"];
export type StepComparison = Schemas["StepComparison"];
export type ComparedText = Schemas["ComparedText"];
export type Nearest = Schemas["Nearest"];
export type Activity = Schemas["Activity"];
export type AgentActivity = Schemas["AgentActivity"];
export type RunNow = Schemas["RunNow"];
export type LiveStep = Schemas["LiveStep"];
export type LiveEvents = Schemas["LiveEvents"];
export type AnnotationHistory = Schemas["AnnotationHistory"];
export type NewAnnotation = Schemas["NewAnnotation"];
export type Said = Schemas["Said"];
export type SqlResult = Schemas["SqlResult"];
export type SqlSchema = Schemas["SqlSchema"];
export type SqlView = Schemas["SqlView"];
