import { afterEach, describe, expect, it, vi } from "vitest";
import { ApiError, get } from "../src/api/client";
import { failure } from "../src/frame/reach";

afterEach(() => vi.unstubAllGlobals());

describe("a server that is not reached", () => {
  const gone = new ApiError(0, "gone", "");
  const refused = new ApiError(503, "busy", "");

  it("fails an answer that breaks off in its middle as one that does not come", async () => {
    const brokenOff = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('{"rows": ['));
        controller.error(new TypeError("network error"));
      },
    });
    vi.stubGlobal("fetch", async () => new Response(brokenOff));
    await expect(get("/meta")).rejects.toMatchObject({ status: 0 });
  });

  it("leaves a request that was taken back what it is", async () => {
    const aborted = new AbortController();
    aborted.abort();
    const reason = new DOMException("taken back", "AbortError");
    vi.stubGlobal("fetch", () => Promise.reject(reason));
    await expect(get("/meta", {}, aborted.signal)).rejects.toBe(reason);
  });

  it("does not take away what is shown", () => {
    expect(failure({ error: gone, data: [] })).toBeNull();
    expect(failure({ error: gone, data: undefined })).toBe(gone);
    expect(failure({ error: refused, data: [] })).toBe(refused);
    expect(failure({ error: null, data: undefined })).toBeNull();
  });
});
