import { lazy, memo, Suspense, useMemo } from "react";
import { type Block, blocks, type Inline } from "../core/markdown";
import { Text } from "./Text";

/** Markdown of strangers: no HTML, nothing fetched, links that say where they lead. */
export const Markdown = memo(function Markdown({ text }: { text: string }) {
  const tree = useMemo(() => blocks(text), [text]);
  return (
    <div className="markdown">
      <Blocks of={tree} />
    </div>
  );
});

/* Blocks and words never move within a text: their place names them. */

function Blocks({ of }: { of: readonly Block[] }) {
  return of.map((block, i) => <BlockOf key={`${i}`} block={block} />);
}

function BlockOf({ block }: { block: Block }) {
  switch (block.kind) {
    case "paragraph":
      return (
        <p>
          <Words of={block.parts} />
        </p>
      );
    case "heading":
      // No heading of the page: its outline is not a stranger's to write.
      return (
        <p className={`heading h${Math.min(block.level, 4)}`}>
          <Words of={block.parts} />
        </p>
      );
    case "code":
      return (
        <pre className="code" data-language={block.language || undefined}>
          <CodeOf text={block.text} language={block.language} />
        </pre>
      );
    case "quote":
      return (
        <blockquote>
          <Blocks of={block.blocks} />
        </blockquote>
      );
    case "list": {
      const items = block.items.map((item, i) => (
        <li key={`${i}`}>
          <Blocks of={item} />
        </li>
      ));
      return block.isOrdered ? <ol start={block.start}>{items}</ol> : <ul>{items}</ul>;
    }
    case "table":
      return (
        <table>
          <tbody>
            {block.rows.map((row, i) => (
              <tr key={`${i}`}>
                {row.map((cell, k) =>
                  i === 0 ? (
                    <th key={`${k}`} scope="col">
                      <Words of={cell} />
                    </th>
                  ) : (
                    <td key={`${k}`}>
                      <Words of={cell} />
                    </td>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      );
    case "rule":
      return <hr />;
  }
}

const Code = lazy(() => import("./Code"));

/** Characters that are coloured: each colour is an element. */
const COLOURED = 20_000;

function CodeOf({ text, language }: { text: string; language: string }) {
  const plain = <Text text={text} />;
  if (language === "" || text.length > COLOURED) return plain;
  return (
    <Suspense fallback={plain}>
      <Code text={text} language={language} />
    </Suspense>
  );
}

function Words({ of }: { of: readonly Inline[] }) {
  return of.map((part, i) => {
    const key = `${i}`;
    switch (part.kind) {
      case "text":
        return <Text key={key} text={part.text} />;
      case "code":
        return (
          <code key={key}>
            <Text text={part.text} />
          </code>
        );
      case "strong":
        return (
          <strong key={key}>
            <Words of={part.parts} />
          </strong>
        );
      case "em":
        return (
          <em key={key}>
            <Words of={part.parts} />
          </em>
        );
      case "link":
        return (
          <a key={key} href={part.href} target="_blank" rel="noreferrer noopener" title={part.href}>
            <Words of={part.parts} />
          </a>
        );
    }
  });
}
