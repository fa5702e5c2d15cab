// The services that plugins get while a policy is tested: nothing with an effect outside. There is no Redis, disk or
// network, and nobody reads the log or the metrics.
import type {
  Clock,
  Fleet,
  Identity,
  LineSink,
  Logger,
  Metrics,
  Secrets,
  StoreSignatures,
} from "../plugin-api/contract.ts";
import type { HostServices } from "../runtime/scoped-services.ts";
import type { OwnHttpClient } from "../runtime/services/http/client.ts";

const ignore = (): void => {};
const logger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };
const accessLog: LineSink = { write: ignore };
const counter = { inc: ignore };
const gauge = { set: ignore };
const histogram = { observe: ignore };

export const scratchMetrics: Metrics = {
  counter: () => () => counter,
  gauge: () => () => gauge,
  histogram: () => () => histogram,
};
export const scratchLogger = logger;

const http: OwnHttpClient = {
  request: () => Promise.reject(new Error("tests of a policy ask nobody")),
  open: ignore,
  close: ignore,
};

/** No record counts as signed. */
const signatures: StoreSignatures = { generation: 0, open: () => Promise.resolve(undefined) };

export interface ScratchOptions {
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly fleet: Pick<Fleet, "service" | "instance" | "region">;
}

/** @param identity the caller of the test's request */
export function scratchServices(
  { secrets, clock, fleet }: ScratchOptions,
  identity: Identity | undefined,
): HostServices {
  return {
    logger,
    accessLog,
    metrics: scratchMetrics,
    store: undefined,
    signatures,
    secrets,
    http: () => http,
    clock,
    fleet: { ...fleet, size: () => 1 },
    testRun: { identity },
  };
}
