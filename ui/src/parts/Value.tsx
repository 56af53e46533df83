import { useMemo, useState } from "react";
import { getText, type Media as MediaPart, type Text as Told, url } from "../api/client";
import { bytes, count } from "../core/format";
import { readJson } from "../core/json";
import { JsonTree } from "./Json";
import { Markdown } from "./Markdown";
import { Text } from "./Text";

/** Characters that are drawn at once; what is longer is folded first. */
const SHORT = 2_000;
/** More than this is not drawn at all: it is there to be saved. */
const DRAWN = 400_000;

interface Props {
  readonly value: Told;
  readonly label: string;
  /** what its `key` is relative to: a run, a step or a span of the API */
  readonly base: string;
  readonly as: "text" | "markdown" | "json";
}

/** A text of a run: as it is read best, whole on demand, to copy and to save. */
export function Value({ value, label, base, as }: Props) {
  const [whole, setWhole] = useState<string | null>(null);
  const [isUnfolded, setUnfolded] = useState(false);
  const [isRaw, setRaw] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const text = whole ?? value.text;
  const json = useMemo(() => (as === "text" ? null : readJson(text)), [as, text]);
  const isCut = whole === null && value.key !== null;
  const address =
    value.key === null ? null : url(`${base}/values/${encodeURIComponent(value.key)}`);
  const load = async () => {
    try {
      setWhole(await getText(address!));
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  const isLong = json === null && text.length > SHORT;
  const drawn = isLong && !isUnfolded ? text.slice(0, SHORT) : text.slice(0, DRAWN);
  return (
    <div className="value">
      {json !== null && !isRaw ? (
        <JsonTree value={json} label={label} />
      ) : as === "markdown" && !isRaw ? (
        <Markdown text={drawn} />
      ) : (
        <pre className="plain">
          <Text text={drawn} />
        </pre>
      )}
      <div className="value-tools">
        {isLong && (
          <button type="button" className="link" onClick={() => setUnfolded(!isUnfolded)}>
            {isUnfolded ? "less" : `${count(text.length - SHORT)} characters more`}
          </button>
        )}
        {isCut && address && (
          <>
            <span className="muted">
              {count(text.length)} of {count(value.length)} characters
            </span>
            {value.length <= DRAWN && (
              <button type="button" className="link" onClick={() => void load()}>
                load all
              </button>
            )}
            <a href={address} download>
              save
            </a>
          </>
        )}
        {text.length > DRAWN && isUnfolded && (
          <span className="muted">the rest is not drawn: copy or save it</span>
        )}
        {(json !== null || as === "markdown") && (
          <button
            type="button"
            className="link quiet"
            aria-pressed={isRaw}
            onClick={() => setRaw(!isRaw)}
          >
            as it is
          </button>
        )}
        <CopyButton text={text} of={label} />
        {problem && <span className="failed">{problem}</span>}
      </div>
    </div>
  );
}

/** @param of what is copied, for those who do not see where the button stands */
export function CopyButton({
  text,
  of,
  name = "copy",
}: {
  text: string;
  of: string;
  name?: string;
}) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      setDone(false);
    }
  };
  return (
    <button type="button" className="link quiet" onClick={() => void copy()}>
      {isDone ? "copied" : name}
      <span className="sr">: {of}</span>
    </button>
  );
}

const SHOWN = /^image\/(png|jpeg|gif|webp|avif)$/;

/** Pictures that came along are shown; what lies elsewhere is named, never fetched. */
export function Media({ media, base }: { media: MediaPart; base: string }) {
  const mime = media.mime ?? "unknown type";
  const size = media.n_bytes === null ? "" : `, ${bytes(media.n_bytes)}`;
  if (media.data !== null && SHOWN.test(mime)) {
    return (
      <img className="media" src={`data:${mime};base64,${media.data}`} alt={`${mime}${size}`} />
    );
  }
  return (
    <p className="media muted">
      <Text text={mime} />
      {size}
      {media.uri && (
        <>
          {" at "}
          <code>
            <Text text={media.uri} />
          </code>
          , not fetched
        </>
      )}
      {media.key && (
        <>
          {" "}
          <a href={url(`${base}/values/${encodeURIComponent(media.key)}`)} download>
            save
          </a>
        </>
      )}
    </p>
  );
}
