// An agent on Node, told by OpenTelemetry's SDK for JavaScript: over OTLP, and into a file as well.
const fs = require("fs");
const readline = require("readline");
const { SpanKind, trace, context } = require("@opentelemetry/api");
const { OTLPTraceExporter } = require("@opentelemetry/exporter-trace-otlp-http");
const { JsonTraceSerializer } = require("@opentelemetry/otlp-transformer");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { BatchSpanProcessor, NodeTracerProvider } = require("@opentelemetry/sdk-trace-node");

const file = {
  export(spans, done) {
    const lines = Buffer.concat([Buffer.from(JsonTraceSerializer.serializeRequest(spans)), Buffer.from("\n")]);
    fs.appendFileSync(process.env.AGENT_FILE, lines);
    done({ code: 0 });
  },
  shutdown: async () => {},
};
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter()), new BatchSpanProcessor(file)],
});
const tracer = provider.getTracer("waiter", "1.0");

function span(name, parent, attributes, kind = SpanKind.INTERNAL) {
  const above = parent ? trace.setSpan(context.active(), parent) : context.active();
  return tracer.startSpan(name, { attributes, kind }, above);
}

function run() {
  const root = span("invoke_agent waiter", null, {
    "gen_ai.operation.name": "invoke_agent",
    "gen_ai.agent.name": "waiter",
  });
  const said = (role, content) => JSON.stringify([{ role, parts: [{ type: "text", content }] }]);
  const chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m-3",
    "gen_ai.input.messages": said("user", "A table for two, s'il vous plaît ☕"),
    "gen_ai.output.messages": said("assistant", "At seven."),
    "gen_ai.usage.input_tokens": 9,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.response.finish_reasons": ["stop"],
  };
  span("chat m-3", root, chat, SpanKind.CLIENT).end();
  const tool = span("execute_tool book", root, {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "book",
    "gen_ai.tool.call.arguments": JSON.stringify({ at: 19, n: 2 }),
    "gen_ai.tool.call.result": "booked",
  });
  tool.addEvent("written", { page: 12 });
  tool.end();
  root.end();
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    for (let n = Number(line); n > 0; n--) run();
    const is_sent = await provider.forceFlush().then(() => true, () => false);
    console.log(is_sent ? "True" : "False");
  }
  await provider.shutdown();
})();
