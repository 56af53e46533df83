import type { Message, Part } from "../api/client";
import { oneLine } from "../core/hostile";
import { Text } from "./Text";
import { Media, Value } from "./Value";

/** Messages as a conversation. */
export function Messages({ messages, base }: { messages: readonly Message[]; base: string }) {
  return (
    <ol className="messages">
      {messages.map((message, i) => (
        <li key={`${i}`} className={`message ${roleOf(message.role)}`}>
          <span className="role">
            <Text text={message.role} />
            {message.finish_reason && (
              <span className="muted">
                {" "}
                · <Text text={message.finish_reason} />
              </span>
            )}
          </span>
          {message.parts.map((part, k) => (
            <PartOf key={`${k}`} part={part} isModel={message.role === "assistant"} base={base} />
          ))}
        </li>
      ))}
    </ol>
  );
}

function PartOf({ part, isModel, base }: { part: Part; isModel: boolean; base: string }) {
  if (part.media) return <Media media={part.media} base={base} />;
  if (!part.text) return null;
  // Models write markdown; what others write may look like it and be a diff or a log.
  const isProse = isModel && (part.kind === "text" || part.kind === "reasoning");
  const as = part.is_json ? "json" : isProse ? "markdown" : "text";
  const label = part.name ? `${part.kind} ${oneLine(part.name)}` : part.kind;
  return (
    <div className={`part ${part.kind}${part.failed ? " bad" : ""}`}>
      {part.kind !== "text" && (
        <span className="part-head">
          {HEADS[part.kind]} {part.name && <Text text={part.name} />}
          {part.failed && <span className="failed"> ✗ failed</span>}
        </span>
      )}
      <Value value={part.text} label={label} base={base} as={as} />
    </div>
  );
}

const HEADS: Readonly<Record<Part["kind"], string>> = {
  text: "",
  reasoning: "reasoning",
  tool_call: "→",
  tool_result: "←",
  media: "",
  other: "other",
};

function roleOf(role: string): string {
  return ["system", "user", "assistant", "tool"].includes(role) ? role : "other";
}
