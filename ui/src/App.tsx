import { lazy, Suspense, useState } from "react";
import { Link, Redirect, Route, Router, Switch, useLocation } from "wouter";
import { SingleKeys, useKeys } from "./frame/keys";
import { useHere, useSearchHere } from "./frame/location";
import { useIsAway } from "./frame/reach";
import { change, useSettings } from "./frame/settings";
import { LivePage } from "./pages/LivePage";
import { analysisHref } from "./pages/dashboards";
import { ListPage } from "./pages/ListPage";
import { RunPage } from "./pages/RunPage";
import { SettingsPage } from "./pages/SettingsPage";
import { Help } from "./parts/Help";

const AnalysisPage = lazy(() => import("./pages/AnalysisPage"));
const ComparePage = lazy(() => import("./pages/ComparePage"));
const SqlPage = lazy(() => import("./pages/SqlPage"));

export function App() {
  const settings = useSettings();
  const [path] = useHere();
  // From the path as it is: the router's own reading of it is not one to one.
  const id = decoded(path.replace(/^\/t\//, ""));
  return (
    <Router hook={useHere} searchHook={useSearchHere}>
      <SingleKeys value={settings.hasSingleKeys}>
        <a className="skip" href="#main">
          Skip to the content
        </a>
        <Top />
        <Away />
        <Switch>
          <Route path="/">
            <Redirect to="/t" replace />
          </Route>
          <Route path="/t" component={ListPage} />
          <Route path="/t/:id">{() => <RunPage id={id} key={id} />}</Route>
          <Route path="/analysis">
            <Redirect to="/analysis/outcomes" replace />
          </Route>
          <Route path="/analysis/:name">
            {({ name }) => (
              <Suspense fallback={<main id="main" className="page" />}>
                <AnalysisPage name={name} />
              </Suspense>
            )}
          </Route>
          <Route path="/compare/*?">
            {() => (
              <Suspense fallback={<main id="main" className="page" />}>
                <ComparePage {...compared(path)} />
              </Suspense>
            )}
          </Route>
          <Route path="/live" component={LivePage} />
          <Route path="/sql">
            <Suspense fallback={<main id="main" className="page" />}>
              <SqlPage />
            </Suspense>
          </Route>
          <Route path="/settings" component={SettingsPage} />
          <Route>
            <main id="main" className="page note">
              <h1>There is no such page</h1>
              <p>
                <Link href="/t">All runs</Link>
              </p>
            </main>
          </Route>
        </Switch>
      </SingleKeys>
    </Router>
  );
}

/** Two runs, each one segment: `/compare/a/b`; the second may be left out. */
function compared(path: string): { a: string; b: string | null } {
  const [, , a, b] = path.split("/");
  return { a: decoded(a ?? ""), b: b ? decoded(b) : null };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

function Top() {
  const [isHelp, setHelp] = useState(false);
  const [path, go] = useLocation();
  const analysis = analysisHref(path, useSearchHere());
  useKeys([
    { keys: ["?"], label: "What keys do", run: () => setHelp(true) },
    { keys: ["g t"], label: "All runs", run: () => go("/t") },
    { keys: ["g a"], label: "Analysis", run: () => go(analysis) },
    { keys: ["g l"], label: "Live", run: () => go("/live") },
    { keys: ["g s"], label: "SQL", run: () => go("/sql") },
    { keys: ["g ,"], label: "Settings", run: () => go("/settings") },
  ]);
  return (
    <header className="top">
      <Link href="/t" className="brand">
        otel-traj
      </Link>
      <nav aria-label="Pages">
        <Link href="/t" className={(isActive) => (isActive ? "active" : "")}>
          Runs
        </Link>
        <Link href={analysis} className={() => (path.startsWith("/analysis") ? "active" : "")}>
          Analysis
        </Link>
        <Link href="/live" className={(isActive) => (isActive ? "active" : "")}>
          Live
        </Link>
        <Link href="/sql" className={(isActive) => (isActive ? "active" : "")}>
          SQL
        </Link>
      </nav>
      <span className="grow" />
      <ThemeButton />
      <Link href="/settings" className="plain-link">
        Settings
      </Link>
      <button type="button" onClick={() => setHelp(true)} aria-keyshortcuts="?">
        Keys <kbd>?</kbd>
      </button>
      {isHelp && <Help onClose={() => setHelp(false)} />}
    </header>
  );
}

/** Who looks at what was must know it. */
function Away() {
  return (
    <div role="status">
      {useIsAway() && (
        <p className="banner away">
          The server does not answer: this is how it was. It is asked again until it does.
        </p>
      )}
    </div>
  );
}

const NEXT = { system: "light", light: "dark", dark: "system" } as const;

function ThemeButton() {
  const { theme } = useSettings();
  const name = { system: "as the system", light: "light", dark: "dark" }[theme];
  return (
    <button type="button" onClick={() => change({ theme: NEXT[theme] })} title={`Theme: ${name}`}>
      <span aria-hidden="true">{{ system: "◐", light: "☀", dark: "☾" }[theme]}</span>
      <span className="sr">Theme: {name}</span>
    </button>
  );
}
