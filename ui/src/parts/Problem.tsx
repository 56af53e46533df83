import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import { wantsToken } from "../frame/session";
import { Text } from "./Text";
import { TokenForm } from "./TokenForm";

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
      {detail && !wantsToken(error) && (
        <p>
          <Text text={detail} />
        </p>
      )}
      {children}
      {wantsToken(error) ? (
        <TokenForm />
      ) : (
        onRetry && (
          <button type="button" onClick={onRetry}>
            Try again
          </button>
        )
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
