/**
 * Text of strangers, made harmless to the eye: what a terminal would obey is dropped, what would be
 * invisible or turn the reading direction is shown as a sign.
 */

/** A run of plain text, or one character that is shown by its name. */
export interface Piece {
  readonly text: string;
  readonly isSign: boolean;
}

// CSI and OSC sequences of terminals, and the other two-character escapes.
const ANSI = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;

// Controls but tab and line feed; bidi marks, embeddings, overrides and isolates; zero-width
// characters, fillers that are blank, the soft hyphen, line separators, tags, variation selectors
// beyond the emoji one, and halves of surrogate pairs.
const SIGNS =
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

const NAMES: Readonly<Record<string, string>> = {
  "\u0000": "NUL",
  "\u0007": "BEL",
  "\u0008": "BS",
  "\r": "CR",
  "\u001b": "ESC",
  "\u007f": "DEL",
  "\u00ad": "SHY",
  "\u200b": "ZWSP",
  "\u200c": "ZWNJ",
  "\u200d": "ZWJ",
  "\u200e": "LRM",
  "\u200f": "RLM",
  "\u202a": "LRE",
  "\u202b": "RLE",
  "\u202c": "PDF",
  "\u202d": "LRO",
  "\u202e": "RLO",
  "\u2066": "LRI",
  "\u2067": "RLI",
  "\u2068": "FSI",
  "\u2069": "PDI",
  "\ufeff": "BOM",
};

const LETTER_OR_EMOJI = /[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}\ufe0f]/u;

export function pieces(raw: string): Piece[] {
  const text = raw.replace(ANSI, "").replace(/\r\n/g, "\n");
  const found: Piece[] = [];
  let from = 0;
  for (const hit of text.matchAll(SIGNS)) {
    const at = hit.index;
    if (joins(text, at, hit[0])) continue;
    if (at > from) found.push({ text: text.slice(from, at), isSign: false });
    found.push({ text: nameOf(hit[0]), isSign: true });
    from = at + hit[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), isSign: false });
  return found;
}

/** The same as one string, where no element can be put: titles, labels, attributes. */
export function plain(raw: string): string {
  return pieces(raw)
    .map((piece) => (piece.isSign ? `⟨${piece.text}⟩` : piece.text))
    .join("");
}

/** On one line. */
export function oneLine(raw: string): string {
  return plain(raw).replace(/\s+/g, " ").trim();
}

/** A joiner between two letters or emoji is part of how they are written. */
function joins(text: string, at: number, character: string): boolean {
  if (character !== "\u200d" && character !== "\u200c") return false;
  const before = [...text.slice(Math.max(at - 2, 0), at)].at(-1) ?? "";
  const after = String.fromCodePoint(text.codePointAt(at + 1) ?? 0);
  return LETTER_OR_EMOJI.test(before) && LETTER_OR_EMOJI.test(after) && !/[\x00-\x7f]/.test(before);
}

function nameOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return NAMES[character] ?? `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
}
