// Creates the audit trail of a process from the settings.
import { Auditor, NoTrail } from "../audit/auditor.ts";
import { FileSink } from "../audit/file-sink.ts";
import { HeadBoard } from "../audit/head-board.ts";
import { AuditKey } from "../audit/key.ts";
import { FileKeyPlace, RedisKeyPlace } from "../audit/key-places.ts";
import type { ChangeEvent } from "../audit/record.ts";
import { OtlpCopy } from "../audit/otlp-copy.ts";
import { RedisCopy, RedisSink } from "../audit/redis-sink.ts";
import type { Copy, Sink } from "../audit/sink.ts";
import { SubjectKeys } from "../audit/subject-keys.ts";
import { Trail } from "../audit/trail.ts";
import type { Config } from "../config/config.ts";
import type { CheckDisk } from "../files/check-disk.ts";
import type { Clock, Store } from "../plugin-api/contract.ts";
import { problemText } from "../policy/document/problems.ts";
import type { PolicyEvents } from "../policy/events.ts";
import type { EffectivePolicy } from "../policy/read.ts";
import type { PolicyAudit } from "../runtime/live-audit.ts";
import { JsonLogs, logsMethod, ProtobufLogs } from "../telemetry/otlp/logs.ts";
import type { Telemetry } from "../telemetry/process.ts";
import { version } from "../version.ts";
import { carrierOf, collectorOf, resourceOf } from "./otlp.ts";
import { primaryName } from "./primary-name.ts";

export interface Audit {
  /** @returns the auditor of the policy's decisions; undefined = the policy asks for none */
  of(policy: Pick<EffectivePolicy, "document" | "digest">): PolicyAudit | undefined;
  /** Records a change that affects decisions. Does nothing without a trail. */
  change(what: ChangeEvent["what"], detail: Readonly<Record<string, unknown>>): void;
  /** Writes and signs the waiting records, within seconds. Never rejects. */
  close(): Promise<void>;
}

export interface AuditParts {
  readonly telemetry: Pick<Telemetry, "logger" | "metrics">;
  readonly store: Store | undefined;
  readonly clock: Clock;
  /** Name of this process among several. */
  readonly worker: string | undefined;
  readonly checkDisk?: CheckDisk | undefined;
}

const dayMs = 86_400_000;
/** Added to the retention, because the keys and heads of a month must outlive the month's last record. */
const monthMs = 31 * dayMs;
const closeLimitMs = 2_000;

const noTrail =
  "the policy asks for an audit trail, and the settings have none: set OUTRIGGER_AUDIT_KEY, and OUTRIGGER_AUDIT_FILE or REDIS_URL";

export function createAudit(config: Config, parts: AuditParts): Audit {
  const { telemetry, clock } = parts;
  const records = telemetry.metrics.counter(
    "outrigger_audit_records_total",
    "Audit records: written, lost, or missing in a copy (uncopied)",
    ["result"],
  );
  const trail = trailOf(config, parts, records);
  return {
    of({ document, digest }) {
      const mode = document.audit?.mode ?? "off";
      if (mode === "off") return undefined;
      if (trail !== undefined) return new Auditor(trail, digest, mode === "blocking", clock);
      telemetry.logger.error(
        { mode },
        mode === "blocking" ? `${noTrail}; until then every request is answered 503` : noTrail,
      );
      return new NoTrail(mode === "blocking", records("lost"));
    },
    change: (what, detail) => trail?.change(what, detail),
    close: async () => trail?.close(closeLimitMs),
  };
}

type Records = (
  result: "written" | "lost" | "uncopied",
) => ReturnType<ReturnType<Telemetry["metrics"]["counter"]>>;

function trailOf(config: Config, parts: AuditParts, records: Records): Trail | undefined {
  const { auditKey, auditRetentionDays, service, instance } = config;
  const { telemetry, store, clock, worker, checkDisk } = parts;
  const sinks = sinksOf(config, parts, records);
  if (auditKey === undefined || sinks === undefined) return undefined;
  const keys = auditKey.map((jwk) => new AuditKey(jwk)) as [AuditKey, ...AuditKey[]];
  const keepMs = auditRetentionDays * dayMs + monthMs;
  const place =
    store === undefined
      ? new FileKeyPlace(sinks.path ?? "", keepMs, checkDisk)
      : new RedisKeyPlace(store, service, keepMs);
  return new Trail({
    name: sinks.chain,
    facts: { service, instance, ...(worker !== undefined && { worker }), version },
    key: keys[0],
    subjects: new SubjectKeys(keys, place),
    sink: sinks.sink,
    copies: sinks.copies,
    heads: store && new HeadBoard(store, service, keepMs, keys),
    clock,
    logger: telemetry.logger,
    records,
  });
}

interface Sinks {
  readonly chain: string;
  readonly sink: Sink;
  readonly copies: readonly Copy[];
  /** Path of the file, when the sink is a file. */
  readonly path?: string;
}

/** @returns undefined when there is neither a file nor Redis */
function sinksOf(
  config: Config,
  { telemetry, store, clock, worker, checkDisk }: AuditParts,
  records: Records,
): Sinks | undefined {
  const { instance, service, auditFile, auditSinks, auditRetentionDays, auditStream: maxLength } = config;
  const retentionMs = auditRetentionDays * dayMs;
  // The primary's trail is where a single process would have it, so that readers find it there, and the workers' trails
  // beside it.
  const number = worker === primaryName ? undefined : worker;
  const name = number === undefined ? instance : `${instance}#${number}`;
  const stream = store && { store, service, maxLength, retentionMs, clock };
  const kept = auditSinks.filter((sink) => sink !== "otlp");
  const copy = (): Copy[] => collectorCopy(config, telemetry, clock, records);
  if (auditFile !== undefined && (kept.length === 0 || kept.includes("file"))) {
    const path = number === undefined ? auditFile : `${auditFile}.w${number}`;
    const { auditFileBytes: maxBytes, auditSync } = config;
    const sync = auditSync === "on";
    const sink = new FileSink({ path, maxBytes, retentionMs, sync, clock, checkDisk });
    const copies =
      stream !== undefined && kept.includes("redis")
        ? [new RedisCopy(stream, name, telemetry.logger, records("uncopied"))]
        : [];
    return { chain: name, sink, copies: [...copies, ...copy()], path };
  }
  if (stream === undefined) return undefined;
  return { chain: `${name}~${clock.now().toString(36)}`, sink: new RedisSink(stream), copies: copy() };
}

/** @returns an empty list when the settings ask for no copy */
function collectorCopy(
  config: Config,
  { logger }: Pick<Telemetry, "logger">,
  clock: Clock,
  records: Records,
): Copy[] {
  const signal = { endpoint: config.otelLogsEndpoint, path: "/v1/logs", grpcPath: logsMethod };
  const url = collectorOf(config, signal);
  if (!config.auditSinks.includes("otlp") || url === undefined) return [];
  const protocol = config.otelProtocol;
  const resource = resourceOf(config);
  const encoder = protocol === "http/json" ? new JsonLogs(resource) : new ProtobufLogs(resource);
  const { contentType } = encoder;
  const carrier = carrierOf(config, url, { ...signal, headers: undefined, protocol, contentType });
  return [new OtlpCopy({ encoder, carrier, logger, lost: records("uncopied"), now: () => clock.now() })];
}

/** Adds to the events: records each policy that comes into force or is refused. */
export function auditedEvents(audit: Pick<Audit, "change">, events: PolicyEvents): PolicyEvents {
  return {
    ...events,
    onAccepted(meta, changed, overruled) {
      events.onAccepted(meta, changed, overruled);
      if (changed) audit.change("policy", { result: "in force", ...meta, overruled: overruled.length });
    },
    onRejected(problems) {
      events.onRejected(problems);
      const texts = problems.slice(0, 8).map((problem) => problemText(problem).slice(0, 500));
      audit.change("policy", { result: "refused", problems: texts });
    },
  };
}

/**
 * Records changes of secrets and API keys, in the process that governs.
 * @returns stops the recording
 */
export function auditKeys({ config, audit, store, secretFiles }: AuditedKeys): () => void {
  if (config.auditKey === undefined) return () => {};
  secretFiles.onChanged = () => audit.change("secrets", { files: Object.keys(config.secretFiles) });
  // A key is stored under its digest; part of the digest is enough to tell keys apart.
  const unwatch = store?.watch(apiKeys, (key) => {
    if (key !== null) audit.change("keys", { apiKey: key.slice(apiKeys.length, apiKeys.length + 16) });
  });
  return () => unwatch?.();
}

const apiKeys = "apikey:";

interface AuditedKeys {
  readonly config: Pick<Config, "auditKey" | "secretFiles">;
  readonly audit: Pick<Audit, "change">;
  readonly store: Pick<Store, "watch"> | undefined;
  readonly secretFiles: { onChanged: () => void };
}
