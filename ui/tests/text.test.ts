import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { diffLines } from "../src/core/diff";
import { bytes, cost, count, duration, exact, moment } from "../src/core/format";
import { oneLine, pieces, plain } from "../src/core/hostile";
import { type Block, blocks, type Inline, inline, safeHref } from "../src/core/markdown";
import { jsonRows, readJson } from "../src/core/json";

describe("hostile text", () => {
  it("shows what would turn the direction or be invisible", () => {
    expect(pieces("a\u202Egnp.exe")).toEqual([
      { text: "a", isSign: false },
      { text: "RLO", isSign: true },
      { text: "gnp.exe", isSign: false },
    ]);
    expect(plain("pass\u200bword\u0000\ud800")).toBe("pass⟨ZWSP⟩word⟨NUL⟩⟨U+D800⟩");
    expect(plain("tag\u{e0041}")).toBe("tag⟨U+E0041⟩");
  });

  it("drops what a terminal would obey", () => {
    expect(plain("\x1b[31mred\x1b[0m \x1b]0;title\x07x \x1b]8;;http://e\x1b\\y")).toBe("red x y");
  });

  it("leaves alone how letters and emoji are written", () => {
    for (const text of ["👩‍👩‍👧 ❤️", "می‌خواهم", "naïve\ttab\nline", "日本語"]) {
      expect(plain(text)).toBe(text);
    }
    expect(plain("a\u200db")).toBe("a⟨ZWJ⟩b");
  });

  it("has no control left, whatever came", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(plain(text)).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/);
        expect(oneLine(text)).not.toMatch(/[\n\t]/);
      }),
    );
  });
});

describe("markdown", () => {
  it("is read into blocks", () => {
    const kinds = blocks(
      "# T\n\ntext *em*\nmore\n\n- a\n  - b\n- c\n\n```py\nx = 1\n```\n> q\n\n---\n|a|b|\n|-|-|\n|1|2|",
    );

    expect(kinds.map(({ kind }) => kind)).toEqual([
      "heading",
      "paragraph",
      "list",
      "code",
      "quote",
      "rule",
      "table",
    ]);
    expect(kinds[3]).toEqual({ kind: "code", language: "py", text: "x = 1" });
    expect(
      (kinds[2] as Extract<Block, { kind: "list" }>).items.map((item) => item.map((b) => b.kind)),
    ).toEqual([["paragraph", "list"], ["paragraph"]]);
  });

  it("leads nowhere but to the web, and fetches nothing", () => {
    const links = (text: string): string[] =>
      inline(text).flatMap((part: Inline) => (part.kind === "link" ? [part.href] : []));

    expect(links("[a](javascript:alert(1)) [b](data:text/html,x) [c](file:///etc)")).toEqual([]);
    expect(links("[d](https://example.org/x) ![i](https://example.org/i.png)")).toEqual([
      "https://example.org/x",
      "https://example.org/i.png",
    ]);
    expect(safeHref("https://[")).toBe(null);
    expect(inline("<img src=x onerror=alert(1)>")).toEqual([
      { kind: "text", text: "<img src=x onerror=alert(1)>" },
    ]);
  });

  it("loses no word, whatever was written", () => {
    const texts = (parts: readonly Inline[]): string =>
      parts.map((p) => ("text" in p ? p.text : texts(p.parts))).join("");
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            "word",
            "*",
            "**",
            "`",
            "_",
            "[",
            "](",
            ")",
            "\n",
            "- ",
            "> ",
            "#",
            "```",
            " ",
            "|",
          ),
        ),
        (parts) => {
          const text = parts.join("");
          const words = (s: string) => s.match(/word/g)?.length ?? 0;
          const all = (list: readonly Block[]): number =>
            list.reduce((sum, b) => {
              if (b.kind === "code") return sum + words(b.text) + words(b.language);
              if (b.kind === "quote") return sum + all(b.blocks);
              if (b.kind === "list") return sum + b.items.reduce((s, item) => s + all(item), 0);
              if (b.kind === "table") return sum + words(b.rows.flat().map(texts).join(" "));
              return b.kind === "rule" ? sum : sum + words(texts(b.parts));
            }, 0);

          // the rest of a line that ends code is no text
          if (!text.includes("```")) expect(all(blocks(text))).toBe(words(text));
          else blocks(text);
        },
      ),
    );
  });

  it("is read in time proportional to its length, also where nothing closes", () => {
    for (const evil of [
      "*a ".repeat(20_000),
      "[".repeat(50_000),
      "`".repeat(5_000) + "x",
      "> ".repeat(20_000),
    ]) {
      expect(blocks(evil).length).toBeGreaterThan(0);
    }
  });
});

describe("numbers", () => {
  it("are read at a glance, and unknown is not 0", () => {
    expect([0, 999, 1500, 999_600, 59.96e6, 724e6, 3_720e6, 90_000e6].map(duration)).toEqual([
      "0 µs",
      "999 µs",
      "1.50 ms",
      "1.00 s",
      "1m 00s",
      "12m 04s",
      "1h 02m",
      "1d 01h",
    ]);
    expect([0, 0.00001, 0.0421, 3.414].map(cost)).toEqual(["$0", "<$0.0001", "$0.0421", "$3.41"]);
    expect([9999, 10_000, 1_234_567].map(count)).toEqual(["9999", "10.0k", "1.23M"]);
    expect(moment("1970-01-01T00:00:01Z", new Date())).toBe("–");
    expect([duration(null), cost(null), count(Number.NaN), moment(null, new Date())]).toEqual([
      "–",
      "–",
      "–",
      "–",
    ]);
    expect(bytes(12_288)).toBe("12.0 KiB");
    expect(exact(1234567)).toBe("1\u202f234\u202f567");
  });
});

describe("JSON", () => {
  it("shows what is open, and where it is", () => {
    const value = { a: [1, { b: null }], "x/y": "t" };

    expect(jsonRows(value, new Set()).length).toBe(1);
    expect(jsonRows(value, new Set(["", "/a"])).map(({ path, size }) => [path, size])).toEqual([
      ["", 2],
      ["/a", 2],
      ["/a/0", null],
      ["/a/1", 1],
      ["/x~1y", null],
    ]);
  });

  it("is read from text that is an object or a list", () => {
    expect(readJson(' {"a": 1}')).toEqual({ a: 1 });
    expect([readJson("12"), readJson("{a"), readJson("")]).toEqual([null, null, null]);
  });
});

describe("a diff", () => {
  it("has the line numbers of both sides", () => {
    const lines = [" same", "-old", "+new", "+more", " end", "\\ No newline at end of file"];
    const hunk = { old_start: 3, old_lines: 3, new_start: 5, new_lines: 4, lines };

    expect(
      diffLines([hunk]).map(({ kind, text, before, after }) => [kind, text, before, after]),
    ).toEqual([
      ["hunk", "@@ -3,3 +5,4 @@", null, null],
      ["same", "same", 3, 5],
      ["removed", "old", 4, null],
      ["added", "new", null, 6],
      ["added", "more", null, 7],
      ["same", "end", 5, 8],
      ["note", "\\ No newline at end of file", null, null],
    ]);
  });
});
