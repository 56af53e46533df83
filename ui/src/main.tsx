import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { wasNotReached } from "./frame/reach";
import { enterByLink } from "./frame/session";
import { show } from "./frame/settings";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/list.css";
import "./styles/run.css";
import "./styles/live.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      refetchOnWindowFocus: false,
      networkMode: "always", // a server on this machine is there without any network
      // What was refused stays refused; a server that was not reached may be back.
      retry: (n, error) => n < 1 && wasNotReached(error),
    },
  },
});

show();
await enterByLink();
createRoot(document.getElementById("root") as HTMLElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>
  </StrictMode>,
);
