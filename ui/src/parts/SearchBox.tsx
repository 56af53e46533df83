import { type KeyboardEvent, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Facets } from "../api/client";
import { oneLine } from "../core/hostile";
import { type Completion, completions } from "../core/query";
import { Text } from "./Text";

interface Props {
  readonly value: string;
  readonly fields: Readonly<Record<string, string>>;
  readonly facets: Facets["facets"];
  /** why the query could not be read */
  readonly error: string | null;
  readonly onChange: (query: string) => void;
}

/** The query, with what may come next. Enter asks. */
export function SearchBox({ value, fields, facets, error, onChange }: Props) {
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [isOpen, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);
  // Before the next key comes: later, it would move the caret away from what was typed since.
  const placed = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (placed.current !== null) input.current?.setSelectionRange(placed.current, placed.current);
    placed.current = null;
  }, [text]);
  const choices = useMemo(() => {
    const values = Object.fromEntries(
      Object.entries(facets).map(([name, facet]) => [
        name,
        facet.values.flatMap(({ value, count }) => (value === null ? [] : [{ value, count }])),
      ]),
    );
    return completions(text, caret, { fields, values });
  }, [text, caret, fields, facets]);
  const isShown = isOpen && choices.length > 0;

  const take = (choice: Completion) => {
    const next = text.slice(0, choice.from) + choice.text + text.slice(choice.to);
    const end = choice.from + choice.text.length;
    setText(next);
    setCaret(end);
    setAt(-1);
    placed.current = end;
  };
  const ask = () => {
    setOpen(false);
    onChange(text.trim());
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      setOpen(true);
      const by = event.key === "ArrowDown" ? 1 : -1;
      setAt((at + by + choices.length + 1) % (choices.length + 1));
      if (at + by === choices.length || at + by < -1) setAt(-1);
    } else if (event.key === "Enter" || (event.key === "Tab" && isShown && at >= 0)) {
      if (isShown && at >= 0) take(choices[at]!);
      else ask();
    } else if (event.key === "Escape") {
      if (isShown) setOpen(false);
      else input.current?.blur();
    } else return;
    event.preventDefault();
  };
  return (
    <div className="search" role="search">
      <input
        ref={input}
        id="search"
        type="text"
        role="combobox"
        aria-label="Search runs"
        aria-expanded={isShown}
        aria-controls="search-choices"
        aria-autocomplete="list"
        aria-activedescendant={isShown && at >= 0 ? `search-choice-${at}` : undefined}
        aria-invalid={error !== null}
        aria-describedby={error === null ? undefined : "search-error"}
        autoComplete="off"
        spellCheck={false}
        placeholder='tool:bash outcome:failure cost>0.5 "traceback"'
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setCaret(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setAt(-1);
        }}
        onSelect={(event) => setCaret(event.currentTarget.selectionStart ?? text.length)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {text !== "" && (
        <button
          type="button"
          className="clear"
          aria-label="Clear the search"
          onClick={() => {
            setText("");
            onChange("");
          }}
        >
          ×
        </button>
      )}
      <button type="button" onClick={ask}>
        Search
      </button>
      <ul id="search-choices" role="listbox" aria-label="What may come next" hidden={!isShown}>
        {choices.map((choice, i) => (
          <li
            key={choice.label}
            id={`search-choice-${i}`}
            role="option"
            aria-selected={i === at}
            onPointerDown={(event) => {
              event.preventDefault(); // the box keeps the focus
              take(choice);
            }}
          >
            <bdi>{oneLine(choice.label)}</bdi> <span className="muted">{choice.hint}</span>
          </li>
        ))}
      </ul>
      {error !== null && (
        <p id="search-error" className="search-error" role="alert">
          <Text text={error} />
        </p>
      )}
    </div>
  );
}
