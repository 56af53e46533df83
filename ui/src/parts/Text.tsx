import { memo, useMemo } from "react";
import { pieces } from "../core/hostile";

/** A stranger's text: control and bidi characters as signs, nothing of it run. */
export const Text = memo(function Text({ text }: { text: string }) {
  const parts = useMemo(() => pieces(text), [text]);
  if (parts.length === 1 && !parts[0]!.isSign) return <bdi>{parts[0]!.text}</bdi>;
  return (
    <bdi>
      {parts.map((part, i) =>
        part.isSign ? (
          <span key={i} className="sign" title="A character that is not shown as such">
            {part.text}
          </span>
        ) : (
          part.text
        ),
      )}
    </bdi>
  );
});
