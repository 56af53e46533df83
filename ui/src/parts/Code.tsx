import { memo, useMemo } from "react";
import { tokens } from "../core/code";
import { Text } from "./Text";

/** Code in colours; loaded when the first of it is shown. */
const Code = memo(function Code({ text, language }: { text: string; language: string }) {
  const parts = useMemo(() => tokens(text, language), [text, language]);
  return parts.map((part, i) =>
    part.kind === "plain" ? (
      <Text key={`${i}`} text={part.text} />
    ) : (
      <span key={`${i}`} className={`code-${part.kind}`}>
        <Text text={part.text} />
      </span>
    ),
  );
});

export default Code;
