/**
 * The editor. It stands in a shadow tree: there its styles are a constructed style sheet, which the
 * page's security policy allows; in the page they would be an element with text, which it does not.
 */

import {
  autocompletion,
  closeBrackets,
  closeCompletion,
  type Completion,
  type CompletionContext,
  completionKeymap,
  type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { sql, StandardSQL } from "@codemirror/lang-sql";
import { bracketMatching, HighlightStyle, syntaxHighlighting } from "@codemirror/language";
import { Compartment, EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  keymap,
  lineNumbers,
  placeholder,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useImperativeHandle, useRef, type Ref } from "react";
import type { SqlView } from "../../api/client";

export interface EditorHandle {
  insert(text: string): void;
  replace(text: string): void;
  focus(): void;
}

interface Props {
  readonly initial: string;
  readonly views: readonly SqlView[];
  /** where something is wrong, in UTF-16 units */
  readonly error: number | null;
  readonly onChange: (text: string) => void;
  readonly onRun: () => void;
  readonly onCancel: () => void;
  readonly handle: Ref<EditorHandle>;
}

const markAt = StateEffect.define<number | null>();

const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(found, change) {
    const effect = change.effects.find((one) => one.is(markAt));
    if (effect) return effect.value === null ? Decoration.none : marked(change.state, effect.value);
    return change.docChanged ? Decoration.none : found;
  },
  provide: (field) => EditorView.decorations.from(field),
});

function marked(state: EditorState, at: number): DecorationSet {
  const from = Math.min(at, Math.max(0, state.doc.length - 1));
  const word = state.wordAt(from);
  const to = Math.min(state.doc.length, word && word.to > from ? word.to : from + 1);
  return to > from
    ? Decoration.set([Decoration.mark({ class: "cm-wrong" }).range(from, to)])
    : Decoration.none;
}

const theme = EditorView.theme({
  "&": { height: "100%", color: "var(--text)", backgroundColor: "var(--raised)" },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", fontSize: "13px", lineHeight: "1.5" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-placeholder": { color: "var(--muted)" },
  ".cm-gutters": {
    backgroundColor: "var(--sunken)",
    color: "var(--muted)",
    borderRight: "1px solid var(--line)",
  },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    { backgroundColor: "var(--selected)" },
  ".cm-matchingBracket": { backgroundColor: "var(--selected)", color: "var(--text)" },
  ".cm-wrong": {
    textDecoration: "underline wavy var(--error)",
    textDecorationSkipInk: "none",
    backgroundColor: "var(--removed)",
  },
  ".cm-tooltip": {
    color: "var(--text)",
    backgroundColor: "var(--raised)",
    border: "1px solid var(--line)",
    borderRadius: "6px",
  },
  ".cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]": {
    color: "var(--text)",
    backgroundColor: "var(--selected)",
  },
  ".cm-completionDetail": { color: "var(--muted)" },
  ".cm-completionInfo": { maxWidth: "300px", fontFamily: "var(--sans)", padding: "6px 8px" },
});

const colours = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--accent)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--llm)" },
  { tag: [tags.number, tags.bool, tags.null], color: "var(--tool)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: tags.typeName, color: "var(--agent)" },
]);

export default function Editor(props: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const now = useRef(props);
  now.current = props;
  const language = useRef(new Compartment());

  useEffect(() => {
    const root = host.current!.shadowRoot ?? host.current!.attachShadow({ mode: "open" });
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: now.current.initial,
        extensions: [
          keymap.of([
            {
              key: "Mod-Enter",
              run(editor) {
                closeCompletion(editor);
                now.current.onRun();
                return true;
              },
            },
            ...completionKeymap,
            { key: "Escape", run: () => (now.current.onCancel(), true) },
            ...defaultKeymap.filter(({ key }) => key !== "Mod-Enter"),
            ...historyKeymap,
          ]),
          lineNumbers(),
          history(),
          drawSelection(),
          bracketMatching(),
          closeBrackets(),
          autocompletion({ icons: false }),
          placeholder("select …"),
          syntaxHighlighting(colours),
          theme,
          marks,
          language.current.of(languageOf(now.current.views)),
          EditorView.lineWrapping,
          EditorView.domEventHandlers({ beforeinput: typeOver }),
          EditorView.contentAttributes.of({ "aria-label": "SQL", spellcheck: "false" }),
          EditorView.updateListener.of((change) => {
            if (change.docChanged) now.current.onChange(change.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, []);

  useEffect(() => {
    view.current?.dispatch({
      effects: language.current.reconfigure(languageOf(props.views)),
    });
  }, [props.views]);

  useEffect(() => {
    view.current?.dispatch({ effects: markAt.of(props.error) });
  }, [props.error]);

  useImperativeHandle(props.handle, () => ({
    insert(text) {
      const editor = view.current!;
      editor.dispatch(editor.state.replaceSelection(text));
      editor.focus();
    },
    replace(text) {
      const editor = view.current!;
      editor.dispatch({ changes: { from: 0, to: editor.state.doc.length, insert: text } });
      editor.focus();
    },
    focus: () => view.current!.focus(),
  }));

  return <div className="sql-editor" ref={host} />;
}

/**
 * Types over a selection. Left to the browser, the new text would get the colours of the old one as
 * a style of its own, which the security policy refuses.
 */
function typeOver(event: InputEvent, editor: EditorView): boolean {
  const { from, to } = editor.state.selection.main;
  const text = event.data;
  if (event.inputType !== "insertText" || text === null || from === to) return false;
  event.preventDefault();
  const insert = () =>
    editor.state.update(editor.state.replaceSelection(text), { userEvent: "input.type" });
  const handlers = editor.state.facet(EditorView.inputHandler);
  if (!handlers.some((handle) => handle(editor, from, to, text, insert))) {
    editor.dispatch(insert());
  }
  return true;
}

/** Columns of the views that the query names, where no alias stands before them. */
function columnsIn(views: readonly SqlView[]) {
  return (context: CompletionContext): CompletionResult | null => {
    const word = context.matchBefore(/[\w.]+$/);
    if (word?.text.includes(".") || (!word && !context.explicit)) return null;
    const text = context.state.doc.toString();
    const named = views.filter(({ name }) => new RegExp(`\\b${name}\\b`, "i").test(text));
    const columns = new Map(
      named.flatMap((view) => view.columns.map((column) => [column.name, column] as const)),
    );
    return {
      from: word?.from ?? context.pos,
      options: [...columns.values()].map(completionOf),
      validFor: /^\w*$/,
    };
  };
}

function completionOf(column: SqlView["columns"][number]): Completion {
  const { type } = column;
  return {
    label: column.name,
    type: "property",
    detail: type.length > 24 ? `${type.slice(0, 22)}…` : type,
    info: column.meaning,
    boost: 1, // before keywords
  };
}

function languageOf(views: readonly SqlView[]) {
  const language = sql({
    dialect: StandardSQL,
    schema: Object.fromEntries(
      views.map((view) => [
        view.name,
        {
          self: { label: view.name, type: "type", detail: "view", info: view.meaning },
          children: view.columns.map(completionOf),
        },
      ]),
    ),
  });
  return [language, StandardSQL.language.data.of({ autocomplete: columnsIn(views) })];
}
