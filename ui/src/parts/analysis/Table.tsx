import { Fragment, useState } from "react";
import { Link } from "wouter";
import type { AnalysisAnswer, AnalysisRow } from "../../api/client";
import { listHref, type Place, placeHref, Reader } from "../../core/analysis";
import { exact } from "../../core/format";
import { oneLine, plain } from "../../core/hostile";
import type { Address } from "../../frame/address";
import { Text } from "../Text";
import { nameOf } from "./Bars";
import { type Badge, Coded, Label, useBadges } from "./badges";

const FEW = 12;
const ID_CHARACTERS = 10;
const LONG = 60;

/** All that a chart says, and more: each row with what it was made of and where to look. */
export function Table({ answer, address }: { answer: AnalysisAnswer; address: Address }) {
  const [isWhole, setWhole] = useState(false);
  const [opened, setOpened] = useState<ReadonlySet<number>>(new Set());
  const badges = useBadges(answer);
  const shown = answer.columns.flatMap((column, place) =>
    column.is_shown ? [{ column, place }] : [],
  );
  const rows = isWhole ? answer.rows : answer.rows.slice(0, FEW);
  const hasPlaces = rows.some(({ places }) => places.length > 0);
  const toggle = (row: number) => {
    const next = new Set(opened);
    if (!next.delete(row)) next.add(row);
    setOpened(next);
  };
  return (
    <>
      <div className="scroll" role="region" aria-label={`Table: ${answer.title}`} tabIndex={0}>
        <table className="answer">
          <thead>
            <tr>
              {shown.map(({ column }) => (
                <th key={column.name} scope="col" className={column.kind} title={column.meaning}>
                  {column.title}
                </th>
              ))}
              <th scope="col">look</th>
              {hasPlaces && <th scope="col">run, step</th>}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <Fragment key={`${i}`}>
                <tr>
                  {shown.map(({ column, place }) => (
                    <td key={column.name} className={column.kind}>
                      <Cell row={row} place={place} kind={column.kind} badges={badges} />
                    </td>
                  ))}
                  <td className="look">
                    <Link
                      href={listHref(address.at, row.only)}
                      aria-label={`Runs: ${oneLine(nameOf(answer, row.texts))}`}
                    >
                      runs
                    </Link>{" "}
                    <button
                      type="button"
                      className="link"
                      aria-expanded={opened.has(i)}
                      aria-label={`All of row ${i + 1}`}
                      onClick={() => toggle(i)}
                    >
                      {opened.has(i) ? "less" : "all"}
                    </button>
                  </td>
                  {hasPlaces && (
                    <td>
                      <Places places={row.places} />
                    </td>
                  )}
                </tr>
                {opened.has(i) && (
                  <tr className="opened">
                    <td colSpan={shown.length + 2}>
                      <Whole answer={answer} row={row} />
                    </td>
                  </tr>
                )}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
      <p className="muted">
        {answer.rows.length > FEW && (
          <button type="button" onClick={() => setWhole(!isWhole)}>
            {isWhole ? `The first ${FEW}` : `Show ${answer.rows.length}`}
          </button>
        )}{" "}
        {exact(answer.n)} {answer.n === 1 ? "row" : "rows"}: <Coded text={answer.grain} />
        {answer.n > answer.rows.length &&
          `. ${exact(answer.rows.length)} of them are here; SQL has all.`}
      </p>
    </>
  );
}

function Cell(props: {
  row: AnalysisRow;
  place: number;
  kind: string;
  badges: ReadonlyMap<string, Badge>;
}) {
  const { row, place, kind, badges } = props;
  const value = row.values[place];
  const text = row.texts[place] ?? "";
  const badge = kind === "label" && typeof value === "string" ? badges.get(value) : undefined;
  if (badge) return <Label badge={badge} needed={row.needed} />;
  if (kind === "calls" && Array.isArray(value) && value.length > 0)
    return value.map((call, i) => (
      <Fragment key={`${i}`}>
        {i > 0 && " → "}
        <span className="call">
          <Text text={String(call)} />
        </span>
      </Fragment>
    ));
  if (kind === "number") return text;
  if (kind === "finding") return <Text text={text} />;
  return (
    <span className="clamped" title={text.length > LONG ? plain(text) : undefined}>
      <Text text={text} />
    </span>
  );
}

/** Runs and steps that a row speaks of. */
export function Places({ places }: { places: readonly Place[] }) {
  if (places.length === 0) return null;
  return (
    <ul className="places">
      {places.map((place, i) => (
        <li key={`${i}`}>
          <Link href={placeHref(place)} title={plain(place.trajectory_id)}>
            <bdi>{short(plain(place.trajectory_id))}</bdi>
            {place.step !== null && ` step ${place.step}`}
          </Link>
        </li>
      ))}
    </ul>
  );
}

function short(id: string): string {
  return id.length <= ID_CHARACTERS ? id : `${id.slice(0, ID_CHARACTERS)}…`;
}

/** Every column of a row with what it means; tables in it as tables. */
function Whole({ answer, row }: { answer: AnalysisAnswer; row: AnalysisRow }) {
  const read = new Reader(answer);
  return (
    <dl className="whole">
      {answer.columns.map((column, place) => {
        const value: unknown = row.values[place];
        return (
          <div key={column.name}>
            <dt title={column.meaning}>
              <code>{column.name}</code>
            </dt>
            <dd>
              {isTable(value) ? (
                <Nested rows={value} />
              ) : (
                <Text text={read.text(row, column.name)} />
              )}
            </dd>
          </div>
        );
      })}
    </dl>
  );
}

type Nested = readonly Readonly<Record<string, unknown>>[];

function isTable(value: unknown): value is Nested {
  return Array.isArray(value) && value.length > 0 && typeof value[0] === "object";
}

function Nested({ rows }: { rows: Nested }) {
  const names = Object.keys(rows[0] ?? {});
  return (
    <table className="nested">
      <thead>
        <tr>
          {names.map((name) => (
            <th key={name} scope="col">
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row, i) => (
          <tr key={`${i}`}>
            {names.map((name) => (
              <td key={name}>
                <Text text={told(row[name])} />
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function told(value: unknown): string {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
