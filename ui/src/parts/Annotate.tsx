import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import {
  type AnnotationHistory,
  get,
  type NewAnnotation,
  post,
  runPath,
  type Said,
} from "../api/client";
import { moment } from "../core/format";
import { failure } from "../frame/reach";
import { change, useSettings } from "../frame/settings";
import { Menu } from "./Menu";
import { Loading, Problem } from "./Problem";
import { Text } from "./Text";

const OUTCOMES = ["success", "failure", "partial", "error", "unknown"];

/** Where another process seals, what was said is read a second later. */
const SEEN_AFTER_MS = 1_500;

/** Says how a run was: outcome, score, comment; shows all that was said, and undoes. */
export function Annotate({ run }: { run: string }) {
  return (
    <Menu isWide label="Judge">
      <Statements run={run} />
    </Menu>
  );
}

function Statements({ run }: { run: string }) {
  const client = useQueryClient();
  const path = `${runPath(run)}/annotations`;
  const history = useQuery({
    queryKey: ["annotations", run],
    queryFn: ({ signal }) => get<AnnotationHistory>(path, {}, signal),
    staleTime: 0,
  });
  const look = () => {
    for (const part of ["annotations", "run", "runs", "facets"])
      void client.invalidateQueries({ queryKey: [part] });
  };
  const told = useMutation({
    mutationFn: ({ at, body }: { at: string; body: unknown }) => post(at, body),
    onSuccess: () => {
      look();
      setTimeout(look, SEEN_AFTER_MS);
    },
  });
  const failed = failure(history);
  if (failed) return <Problem error={failed} onRetry={() => void history.refetch()} />;
  if (!history.data) return <Loading what="what was said" />;
  return (
    <div className="annotate">
      {history.data.is_writable ? (
        <Form
          isBusy={told.isPending}
          onSay={(body) => told.mutateAsync({ at: path, body }).then(() => undefined)}
        />
      ) : (
        <p className="muted">
          This store can only be read here. Whoever may write it says: otel-traj annotate {run}
        </p>
      )}
      {told.isError && <Problem error={told.error} />}
      <History
        said={history.data.rows}
        isBusy={told.isPending || !history.data.is_writable}
        onUndo={(one) => told.mutate({ at: `${path}/${one.annotation_id}/undo`, body: null })}
      />
    </div>
  );
}

function Form(props: { isBusy: boolean; onSay: (said: NewAnnotation) => Promise<void> }) {
  const { annotator } = useSettings();
  const [outcome, setOutcome] = useState("");
  const [name, setName] = useState("score");
  const [score, setScore] = useState("");
  const [comment, setComment] = useState("");
  const by = annotator.trim() === "" ? {} : { annotator: annotator.trim() };
  const hasScore = score.trim() !== "" && Number.isFinite(Number(score));
  const isEmpty = outcome === "" && !hasScore && comment.trim() === "";
  const say = async (event: FormEvent) => {
    event.preventDefault();
    // One after the other: each that was taken is not offered again where the next one fails.
    if (outcome !== "") {
      await props.onSay({ kind: "outcome", value: outcome, ...by });
      setOutcome("");
    }
    if (hasScore) {
      await props.onSay({
        kind: "score",
        name: name.trim() || "score",
        value: Number(score),
        ...by,
      });
      setScore("");
    }
    if (comment.trim() !== "") {
      await props.onSay({ kind: "comment", value: comment, ...by });
      setComment("");
    }
  };
  return (
    <form onSubmit={(event) => void say(event).catch(() => undefined)}>
      <label>
        Outcome
        <select value={outcome} onChange={(event) => setOutcome(event.target.value)}>
          <option value="">as it is</option>
          {OUTCOMES.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </select>
      </label>
      <div className="pair">
        <label>
          Score
          <input value={name} maxLength={200} onChange={(event) => setName(event.target.value)} />
        </label>
        <label>
          Number
          <input
            inputMode="decimal"
            value={score}
            onChange={(event) => setScore(event.target.value)}
          />
        </label>
      </div>
      <label>
        Comment
        <textarea
          rows={3}
          maxLength={10_000}
          value={comment}
          onChange={(event) => setComment(event.target.value)}
        />
      </label>
      <label>
        Who says so
        <input
          value={annotator}
          maxLength={200}
          placeholder="nobody in particular"
          onChange={(event) => change({ annotator: event.target.value })}
        />
      </label>
      <button type="submit" disabled={isEmpty || props.isBusy}>
        Say it
      </button>
    </form>
  );
}

function History(props: { said: readonly Said[]; isBusy: boolean; onUndo: (said: Said) => void }) {
  if (props.said.length === 0) return <p className="muted">Nobody has said anything of it yet.</p>;
  return (
    <ul className="said" aria-label="What was said">
      {props.said.map((one) => (
        <li key={one.annotation_id} className={one.is_last ? "" : "muted"}>
          <span>
            <Text text={one.name} />:{" "}
            {one.is_taken_back ? <i>taken back</i> : <Text text={String(one.value)} />}
            <small className="muted">
              {" "}
              {one.source === "human" ? "by " : `${one.source} `}
              <Text text={one.annotator ?? (one.source === "human" ? "a person" : "")} /> ·{" "}
              {moment(one.created, new Date())}
              {!one.is_last && " · replaced"}
            </small>
          </span>
          {one.can_undo && (
            <button type="button" disabled={props.isBusy} onClick={() => props.onUndo(one)}>
              Undo <span className="sr">{one.name}</span>
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}
