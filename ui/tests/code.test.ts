import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { tokens } from "../src/core/code";

const of = (text: string, language: string) =>
  tokens(text, language)
    .filter(({ kind }) => kind !== "plain")
    .map(({ kind, text }) => `${kind}: ${text}`);

describe("code", () => {
  it("keeps every character, whatever is in it and whatever language it claims to be", () => {
    const languages = [
      "python",
      "ts",
      "go",
      "bash",
      "sql",
      "json",
      "yaml",
      "diff",
      "constructor",
      "",
    ];
    const words = fc.constantFrom(
      '"',
      "'",
      "`",
      "\\",
      "\n",
      "#",
      "//",
      "/*",
      '"""',
      "--",
      "def",
      "1",
    );
    const text = fc.array(fc.oneof(words, fc.string())).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, fc.constantFrom(...languages), (text, language) => {
        const found = tokens(text, language);

        expect(found.map((token) => token.text).join("")).toBe(text);
      }),
    );
  });

  it("has comments, strings, numbers and keywords", () => {
    expect(of("def f(x):  # why\n    return 'a # b' + 1.5", "Python")).toEqual([
      "keyword: def",
      "comment: # why",
      "keyword: return",
      "string: 'a # b'",
      "number: 1.5",
    ]);
    expect(of("SELECT 1 -- one", "sql")).toEqual([
      "keyword: SELECT",
      "number: 1",
      "comment: -- one",
    ]);
    expect(of("const a = `x${1}` // y", "ts")).toEqual([
      "keyword: const",
      "string: `x${1}`",
      "comment: // y",
    ]);
    expect(of("cd ${#a} # home", "sh")).toEqual(["keyword: cd", "comment: # home"]);
    expect(of("-old\n+new\n same", "diff")).toEqual(["removed: -old\n", "added: +new\n"]);
  });

  it("is read in time proportional to its length, also where nothing closes", () => {
    for (const open of ['"', "/*", '"""', "`", "a", "1", "\\", "*"]) {
      for (const language of ["python", "ts", "sql"]) {
        const text = open.repeat(100_000);
        expect(tokens(text, language).reduce((n, token) => n + token.text.length, 0)).toBe(
          text.length,
        );
      }
    }
  });
});
