/**
 * Code in colours: a text as tokens, in one pass, for the languages that agents write. It knows
 * comments, strings, numbers and keywords; what it does not know is plain. It never fails and never
 * drops a character.
 */

export type TokenKind = "plain" | "comment" | "string" | "number" | "keyword" | "added" | "removed";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
}

interface Language {
  /** its groups: comment, string, number, word */
  readonly pattern: RegExp;
  readonly keywords: ReadonlySet<string>;
}

const STRING = String.raw`"(?:[^"\\\n]|\\[\s\S])*"?|'(?:[^'\\\n]|\\[\s\S])*'?`;
const NUMBER = String.raw`\b(?:0[xXbBoO][\da-fA-F_]+|\d[\d_]*(?:\.\d+)?(?:[eE][+-]?\d+)?)`;
const WORD = String.raw`[\p{L}_$][\p{L}\p{N}_$]*`;

function language(comment: string, string: string, keywords: string): Language {
  return {
    pattern: new RegExp(`(${comment})|(${string})|(${NUMBER})|(${WORD})`, "gu"),
    keywords: new Set(keywords.split(" ")),
  };
}

const C_COMMENT = String.raw`\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?`;
const HASH = String.raw`(?<![^\s;])#[^\n]*`;
const NOTHING = "(?!)";

const PYTHON = language(
  String.raw`#[^\n]*`,
  String.raw`"""(?:[^"\\]|\\[\s\S]|"(?!""))*(?:""")?|'''(?:[^'\\]|\\[\s\S]|'(?!''))*(?:''')?|${STRING}`,
  "False None True and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return self try while with yield",
);
const SCRIPT = language(
  C_COMMENT,
  String.raw`${STRING}|\x60(?:[^\x60\\]|\\[\s\S])*\x60?`,
  "any as async await boolean break case catch class const continue default delete do else enum export extends false finally for from function get if implements import in instanceof interface let new null number of private protected public readonly return set static string super switch this throw true try type typeof undefined var void while yield",
);
const C_LIKE = language(
  C_COMMENT,
  STRING,
  "abstract auto bool boolean break byte case catch chan char class const continue crate default defer delete do double else enum extends extern false final finally float fn for fun func go if impl implements import in inline int interface let long loop map match mod mut namespace new nil null nullptr override package private protected pub public range ref return select self short signed sizeof static string struct super switch template this throw throws trait true try type typedef union unsigned use using val var virtual void volatile when where while",
);
const SHELL = language(
  HASH,
  STRING,
  "alias break case cd continue do done echo elif else esac eval exec exit export fi for function if in local read return set shift source sudo test then trap unset until while",
);
const SQL = language(
  String.raw`--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/)?`,
  STRING,
  "all and as asc between by case cast create cross delete desc distinct drop else end except exists false from full group having in inner insert intersect into is join left like limit not null offset on or order outer over partition primary references right select set table then true union unique update using values view when where window with",
);
const DATA = language(String.raw`(?<![^\s])#[^\n]*`, STRING, "true false null yes no on off");
const JSON_ = language(NOTHING, STRING, "true false null");

const LANGUAGES: Readonly<Record<string, Language>> = {
  python: PYTHON,
  py: PYTHON,
  python3: PYTHON,
  pycon: PYTHON,
  javascript: SCRIPT,
  js: SCRIPT,
  jsx: SCRIPT,
  mjs: SCRIPT,
  typescript: SCRIPT,
  ts: SCRIPT,
  tsx: SCRIPT,
  c: C_LIKE,
  h: C_LIKE,
  cpp: C_LIKE,
  "c++": C_LIKE,
  csharp: C_LIKE,
  cs: C_LIKE,
  go: C_LIKE,
  java: C_LIKE,
  kotlin: C_LIKE,
  php: C_LIKE,
  rust: C_LIKE,
  rs: C_LIKE,
  scala: C_LIKE,
  swift: C_LIKE,
  bash: SHELL,
  sh: SHELL,
  shell: SHELL,
  zsh: SHELL,
  console: SHELL,
  dockerfile: SHELL,
  makefile: SHELL,
  sql: SQL,
  json: JSON_,
  jsonc: SCRIPT,
  yaml: DATA,
  yml: DATA,
  toml: DATA,
  ini: DATA,
};

/** @param name as after the fence of a code block; any */
export function tokens(text: string, name: string): Token[] {
  const wanted = name.toLowerCase();
  if (wanted === "diff" || wanted === "patch") return diffTokens(text);
  const known = Object.hasOwn(LANGUAGES, wanted) ? LANGUAGES[wanted]! : null;
  if (!known) return text === "" ? [] : [{ kind: "plain", text }];
  const found: Token[] = [];
  let from = 0;
  let plainFrom = 0;
  for (const hit of text.matchAll(known.pattern)) {
    const [whole, comment, string, number, word] = hit;
    const kind =
      comment !== undefined
        ? "comment"
        : string !== undefined
          ? "string"
          : number !== undefined
            ? "number"
            : isKeyword(known, word!)
              ? "keyword"
              : "plain";
    from = hit.index + whole.length;
    if (kind === "plain") continue;
    if (hit.index > plainFrom) {
      found.push({ kind: "plain", text: text.slice(plainFrom, hit.index) });
    }
    found.push({ kind, text: whole });
    plainFrom = from;
  }
  if (plainFrom < text.length) found.push({ kind: "plain", text: text.slice(plainFrom) });
  return found;
}

function isKeyword({ keywords }: Language, word: string): boolean {
  return keywords.has(keywords === SQL.keywords ? word.toLowerCase() : word);
}

function diffTokens(text: string): Token[] {
  return text
    .split(/(?<=\n)/)
    .filter((line) => line !== "")
    .map((line) => ({ kind: DIFF[line[0]!] ?? "plain", text: line }));
}

const DIFF: Readonly<Record<string, TokenKind>> = {
  "+": "added",
  "-": "removed",
  "@": "comment",
};
