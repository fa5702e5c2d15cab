// The logging plugin: writes one access-log line for every exchange, whatever its outcome, and sets the fields by which
// a client can refer to it (X-Request-Id, X-Response-Time).
import {
  definePlugin,
  note,
  type Exchange,
  type Hooks,
  type Outcome,
} from "../../src/plugin-api/contract.ts";
import { secretNames } from "../../src/language/redaction.ts";
import { compileFormat } from "./formats.ts";
import { levelNumbers, levelOf } from "./level.ts";
import type { LineExtra } from "./members.ts";
import { loggingOptions, type LoggingOptions } from "./options.ts";
import { compileFieldPicker, type PickedFields } from "./redact.ts";
import { keepsSample } from "./sample.ts";
import { isSlow, pluginTimes } from "./slow.ts";
import { createLineStream } from "./stream.ts";

interface LoggedFields {
  requestHeaders: PickedFields | undefined;
  responseHeaders: PickedFields | undefined;
}

const fieldsNote = note<LoggedFields>("logged fields");

export const logging = definePlugin({
  name: "logging",
  version: "1.0.0",
  apiVersion: 1,
  // First in, last out: it also sees refused requests, and the response as the client gets it.
  priority: 5,
  security: false,
  failMode: "open",
  options: loggingOptions,
  needs: { keys: ["logs:<service>"], metrics: ["outrigger_log_stream_"] },

  init: createLineStream,

  setup({ options, services, state, route }): Hooks {
    const { accessLog, clock, fleet } = services;
    const { slowMs = Infinity } = options;
    const minLevel = levelNumbers[options.level];
    const format = accessLog.format ?? "json";
    const line = compileFormat(format, options, route, fleet);
    const appendLine = options.stream ? state.open(options.streamMaxEntries) : undefined;
    // The reader of the stream (`outrigger logs`) understands only JSON.
    const streamLine = format === "json" ? line : compileFormat("json", options, route, fleet);
    const extraOf = extrasOf(options);

    const hooks: Hooks = {
      onResponse(exchange, response) {
        response.fields.set("X-Request-Id", exchange.id);
        const elapsedMs = Math.round(clock.mono() - exchange.startedMono);
        response.fields.set("X-Response-Time", `${elapsedMs}ms`);
      },
      onComplete(exchange, outcome) {
        const usual = levelOf(outcome);
        const level = isSlow(exchange, outcome, slowMs) ? Math.max(usual, levelNumbers.warn) : usual;
        if (level < minLevel) return;
        if (level === levelNumbers.info && !keepsSample(exchange.id, options.sample)) return;
        const extra = extraOf?.(exchange, outcome);
        const text = line(exchange, outcome, level, extra);
        accessLog.write(text);
        if (appendLine === undefined) return;
        appendLine(streamLine === line ? text : streamLine(exchange, outcome, level, extra));
      },
      ...(appendLine === undefined ? {} : { close: () => state.settled() }),
    };
    if (options.headers.length === 0) return hooks;
    return withHeaders(
      hooks,
      compileFieldPicker(options, secretNames([...options.redact, ...route.secretNames])),
    );
  },
});

/** @returns a function that gives a line's extra parts; undefined when no line of the route has any */
function extrasOf({
  headers,
  slowMs,
}: LoggingOptions): ((exchange: Exchange, outcome: Outcome) => LineExtra | undefined) | undefined {
  if (headers.length === 0 && slowMs === undefined) return undefined;
  return (exchange, outcome) => {
    const fields = headers.length > 0 ? fieldsNote.get(exchange) : undefined;
    if (slowMs === undefined || !isSlow(exchange, outcome, slowMs)) return fields;
    return { ...fields, pluginMs: pluginTimes(exchange.hookTimes?.() ?? []) };
  };
}

/** Notes the chosen fields: request fields as the client sent them, response fields as the client gets them. */
function withHeaders(hooks: Hooks, pick: ReturnType<typeof compileFieldPicker>): Hooks {
  const noteRequest = (exchange: Exchange): LoggedFields => {
    const fields = { requestHeaders: pick(exchange.request.fields), responseHeaders: undefined };
    fieldsNote.set(exchange, fields);
    return fields;
  };
  return {
    ...hooks,
    onRequest: (exchange) => void noteRequest(exchange),
    onResponse(exchange, response) {
      const done = hooks.onResponse?.(exchange, response);
      // A request refused before the request phase arrives here without a note.
      const fields = fieldsNote.get(exchange) ?? noteRequest(exchange);
      fields.responseHeaders = pick(response.fields);
      return done;
    },
  };
}
