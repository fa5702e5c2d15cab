// The logging plugin: one access-log line for every exchange, whatever became of it, and the fields that let a
// client quote it (X-Request-Id, X-Response-Time).
import { definePlugin, note, type Exchange, type Hooks } from "../../src/plugin-api/contract.ts";
import { compileLine, levelNumbers, levelOf } from "./line.ts";
import { loggingOptions } from "./options.ts";
import { secretNames } from "../../src/language/secret-names.ts";
import { compileFieldPicker } from "./redact.ts";
import { keepsSample } from "./sample.ts";
import { createLineStream } from "./stream.ts";

const membersNote = note<string>("logged fields");

export const logging = definePlugin({
  name: "logging",
  version: "1.0.0",
  apiVersion: 1,
  // First in, last out: it sees refused requests too, and the response as the client gets it.
  priority: 5,
  security: false,
  failMode: "open",
  options: loggingOptions,
  needs: { keys: ["logs:<service>"], metrics: ["outrigger_log_stream_"] },

  init: createLineStream,

  setup({ options, services, state, route }): Hooks {
    const { accessLog, clock, fleet } = services;
    const minLevel = levelNumbers[options.level];
    const line = compileLine(options, route, fleet);
    const appendLine = options.stream ? state.open(options.streamMaxEntries) : undefined;

    const hooks: Hooks = {
      onResponse(exchange, response) {
        response.fields.set("X-Request-Id", exchange.id);
        const elapsedMs = Math.round(clock.mono() - exchange.startedMono);
        response.fields.set("X-Response-Time", `${elapsedMs}ms`);
      },
      onComplete(exchange, outcome) {
        const level = levelOf(outcome);
        if (level < minLevel) return;
        if (level === levelNumbers.info && !keepsSample(exchange.id, options.sample)) return;
        const text = line(exchange, outcome, level, options.headers.length > 0 ? headersOf(exchange) : "");
        accessLog.write(text);
        appendLine?.(text);
      },
      ...(appendLine === undefined ? {} : { close: () => state.settled() }),
    };
    return options.headers.length === 0
      ? hooks
      : withHeaders(
          hooks,
          compileFieldPicker(options.headers, secretNames([...options.redact, ...route.secretNames])),
        );
  },
});

function headersOf(exchange: Exchange): string {
  return membersNote.get(exchange) ?? "";
}

function addMember(exchange: Exchange, member: string, picked: string): void {
  if (picked !== "") membersNote.set(exchange, `${headersOf(exchange)},"${member}":${picked}`);
}

/** Notes the chosen fields while they are as the client sent them and as it gets them. */
function withHeaders(hooks: Hooks, pick: ReturnType<typeof compileFieldPicker>): Hooks {
  return {
    ...hooks,
    onRequest(exchange) {
      addMember(exchange, "requestHeaders", pick(exchange.request.fields));
    },
    onResponse(exchange, response) {
      const done = hooks.onResponse?.(exchange, response);
      // Requests refused before the request phase come here first.
      if (membersNote.get(exchange) === undefined)
        addMember(exchange, "requestHeaders", pick(exchange.request.fields));
      addMember(exchange, "responseHeaders", pick(response.fields));
      return done;
    },
  };
}
