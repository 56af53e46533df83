import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { Text } from "./Text";

/** What went wrong, and what to do next. */
export function Problem({
  error,
  onRetry,
  children,
}: {
  error: unknown;
  onRetry?: () => void;
  children?: ReactNode;
}) {
  const title = error instanceof ApiError ? error.title : "This could not be shown";
  const detail = error instanceof Error ? error.message : String(error);
  return (
    <div className="problem" role="alert">
      <h2>{title}</h2>
      {detail && (
        <p>
          <Text text={detail} />
        </p>
      )}
      {children}
      {onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="loading" role="status">
      Loading {what} …
    </p>
  );
}
