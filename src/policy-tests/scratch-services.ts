// What plugins are given while tests of a policy run: nothing that anybody else could see the use of. No Redis, no disk,
// no network, a log that nobody reads, metrics that nobody scrapes.
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

/** There is no record that anybody could have signed. */
const signatures: StoreSignatures = { generation: 0, open: () => Promise.resolve(undefined) };

export interface ScratchOptions {
  readonly secrets: Secrets;
  readonly clock: Clock;
  readonly fleet: Pick<Fleet, "service" | "instance" | "region">;
}

/** @param identity who the request of the test is from */
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
