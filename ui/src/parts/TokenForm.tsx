import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { beginSession } from "../api/client";

/** Asks for the token; what was refused is asked for again with it. */
export function TokenForm() {
  const client = useQueryClient();
  const [token, setToken] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const enter = async () => {
    try {
      await beginSession(token.trim());
      await client.resetQueries();
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <form
      className="token"
      onSubmit={(event) => {
        event.preventDefault();
        void enter();
      }}
    >
      <label>
        Token of this server{" "}
        <input
          type="password"
          autoComplete="off"
          value={token}
          onChange={(event) => setToken(event.target.value)}
        />
      </label>
      <button type="submit">Enter</button>
      {problem !== null && (
        <p className="failed" role="alert">
          That was not it: {problem}
        </p>
      )}
    </form>
  );
}
