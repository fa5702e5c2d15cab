// The sidecar's own log: the form of a line, the level at run time, and no secrets in it.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogFormat } from "../../../src/plugin-api/telemetry.ts";
import { createLogging, maskUrls } from "../../../src/telemetry/logger.ts";

function capture(level = "info", format: LogFormat = "json") {
  const written: string[] = [];
  const output = {
    write: (text: string) => void written.push(text),
    flush: () => Promise.resolve(true),
  };
  const logging = createLogging({ level, format, service: "users", instance: "pod-1", output });
  const lines = () => written.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { ...logging, written, lines };
}

describe("the log", () => {
  it("writes one JSON object a line with level, time, service and instance", () => {
    const { logger, lines, written } = capture();
    logger.warn({ revision: 7, "odd\nname": "a\nb" }, "policy\nrefused");
    assert.match(written[0] ?? "", /^[^\n]+\n$/);
    const { time, ...rest } = lines()[0] ?? {};
    assert.deepEqual(rest, {
      level: 40,
      service: "users",
      instance: "pod-1",
      revision: 7,
      "odd\nname": "a\nb",
      msg: "policy\nrefused",
    });
    assert.ok(Math.abs(Number(time) - Date.now()) < 60_000);
  });

  it("changes its level while running, and refuses names that are none", () => {
    const { logger, level, lines } = capture("info");
    logger.debug({}, "hidden");
    assert.ok(level.set("debug"));
    logger.debug({}, "shown");
    assert.ok(level.set("silent"));
    logger.error({}, "hidden");
    for (const name of ["loud", "", "__proto__", "constructor", "INFO"]) assert.equal(level.set(name), false);
    assert.equal(level.get(), "silent");
    assert.deepEqual(
      lines().map((line) => line["msg"]),
      ["shown"],
    );
  });

  it("in ecs has the schema's names, the error apart and the fields in one object, as clean as ever", () => {
    const { logger, lines, level } = capture("info", "ecs");
    const err = Object.assign(new Error("no redis://user:s3cret@host"), { code: "EX", command: "s3cret" });
    logger.debug({}, "hidden");
    logger.warn({ err, url: "redis://user:s3cret@host", "odd\nname": [1] }, "a\nb");
    level.set("error");
    logger.warn({}, "hidden");
    const [line = {}, ...rest] = lines();
    const { "@timestamp": time, "error.stack_trace": stack, ...others } = line;
    assert.equal(rest.length, 0);
    assert.ok(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000);
    assert.match(String(stack), /logger\.test/);
    assert.deepEqual(others, {
      "log.level": "warn",
      message: "a\nb",
      "ecs.version": "8.11.0",
      "service.name": "users",
      "service.node.name": "pod-1",
      "error.type": "Error",
      "error.message": "no redis://***@host",
      "error.code": "EX",
      "outrigger.fields": { url: "redis://***@host", "odd\nname": [1] },
    });
    assert.doesNotMatch(JSON.stringify(line), /s3cret/);
  });

  it("in otel is one export request a line", () => {
    const { logger, lines, written } = capture("info", "otel");
    logger.error(
      { err: new Error("broken"), tries: 3, share: 0.5, on: true, list: ["a", { b: null }] },
      "no",
    );
    assert.match(written[0] ?? "", /^[^\n]+\n$/);
    const { resourceLogs } = lines()[0] as {
      resourceLogs: [{ resource: unknown; scopeLogs: [{ logRecords: [Record<string, unknown>] }] }];
    };
    assert.deepEqual(resourceLogs[0].resource, {
      attributes: [
        { key: "service.name", value: { stringValue: "users" } },
        { key: "service.instance.id", value: { stringValue: "pod-1" } },
      ],
    });
    const { timeUnixNano, attributes, ...record } = resourceLogs[0].scopeLogs[0].logRecords[0];
    assert.match(String(timeUnixNano), /^\d{19}$/);
    assert.deepEqual(record, { severityNumber: 17, severityText: "ERROR", body: { stringValue: "no" } });
    const shown = (attributes as { key: string; value: unknown }[]).filter(
      ({ key }) => !key.endsWith("trace"),
    );
    assert.deepEqual(shown, [
      { key: "exception.type", value: { stringValue: "Error" } },
      { key: "exception.message", value: { stringValue: "broken" } },
      { key: "outrigger.tries", value: { intValue: "3" } },
      { key: "outrigger.share", value: { doubleValue: 0.5 } },
      { key: "outrigger.on", value: { boolValue: true } },
      {
        key: "outrigger.list",
        value: { arrayValue: { values: [{ stringValue: "a" }, { kvlistValue: { values: [] } }] } },
      },
    ]);
  });

  it("never has a member twice", () => {
    const { logger, written, lines } = capture();
    logger.info({ level: "debug", service: "other", msg: 1, time: 2 }, "odd");
    assert.equal(written[0]?.match(/"(level|service|msg|time)":/g)?.length, 4);
    assert.deepEqual(
      [lines()[0]?.["level"], lines()[0]?.["level_"], lines()[0]?.["service"]],
      [30, "debug", "users"],
    );
  });

  it("passes access lines as they are, whatever the level", () => {
    const { accessLog, written } = capture("silent");
    accessLog.write('{"path":"/"}');
    assert.deepEqual(written, ['{"path":"/"}\n']);
  });

  it("shows of an error its name, message, code, stack and cause, and nothing that hangs on it", () => {
    const { logger, written, lines } = capture();
    const cause = Object.assign(new Error("connect redis://me:hunter2@10.0.0.1:6379"), {
      code: "ECONNREFUSED",
    });
    const error = Object.assign(new TypeError("no answer", { cause }), {
      command: { name: "auth", args: ["hunter2"] },
      config: { headers: { authorization: "hunter2" } },
    });
    logger.error({ err: error, context: { failures: [error] } }, "failed");
    assert.doesNotMatch(written.join(""), /hunter2/);
    const shown = lines()[0]?.["err"] as Record<string, unknown>;
    assert.deepEqual(Object.keys(shown), ["name", "message", "stack", "cause"]);
    const inner = shown["cause"] as Record<string, unknown>;
    assert.deepEqual(
      [inner["message"], inner["code"]],
      ["connect redis://***@10.0.0.1:6379", "ECONNREFUSED"],
    );
    assert.match(String(shown["stack"]), /logger\.test\.ts/);
  });

  it("masks the user info of URLs wherever they stand", () => {
    assert.equal(
      maskUrls("at redis://a:b@h:1, https://t@x/p and http://h/a@b"),
      "at redis://***@h:1, https://***@x/p and http://h/a@b",
    );
    assert.equal(maskUrls("rediss://:p@ss@host/0"), "rediss://***@host/0");
    const { logger, written } = capture();
    logger.info(
      { url: "redis://:hunter2@h", list: [{ deep: "http://u:hunter2@h" }] },
      "to redis://:hunter2@h",
    );
    assert.doesNotMatch(written.join(""), /hunter2/);
  });

  it("bears values that JSON does not", () => {
    const { logger, lines } = capture();
    const loop: Record<string, unknown> = { big: 10n, bytes: new Uint8Array(3), when: new Date(0) };
    loop["self"] = loop;
    logger.info(loop, "odd");
    assert.equal(lines()[0]?.["big"], "10");
    assert.equal(lines()[0]?.["bytes"], "3 bytes");
    assert.equal(lines()[0]?.["when"], "1970-01-01T00:00:00.000Z");
  });
});
