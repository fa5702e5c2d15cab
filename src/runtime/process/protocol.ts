// Defines the messages between a sidecar and a plugin's process: lists whose first element is the kind. The process
// trusts what the sidecar says. The sidecar reads what the process says strictly (received.ts), because the plugin's
// code may have sent it.
import type { Identity, Outcome } from "../../plugin-api/exchange.ts";

/** name, value, name, value … */
export type Flat = readonly string[];

export type HookName = "onRequest" | "onResponse" | "onError" | "recheck" | "onComplete";

/** What a process needs to load its bundle. The bundle's text goes before it, as bytes. */
export interface LoadFacts {
  readonly name: string;
  readonly version: string;
  readonly hooks: readonly HookName[];
  readonly secrets: Readonly<Record<string, string>>;
  /** Names of the secrets that the plugin may ask for. */
  readonly secretNames: readonly string[];
  readonly hasStore: boolean;
  readonly fleet: FleetFacts;
}

export interface FleetFacts {
  readonly service: string;
  readonly instance: string;
  readonly region: string | null;
  readonly size: number;
  readonly workers: number;
}

export interface RouteFacts {
  readonly pattern: string;
  readonly upstream: string;
  readonly caseInsensitive: boolean;
  readonly secretNames: readonly string[];
  readonly stripPrefix: string | null;
  readonly strippedOver: readonly string[];
}

/** An exchange as the process sees it first. */
export type ExchangeFacts = readonly [
  id: string,
  startedAt: number,
  method: string,
  path: string,
  strippedPath: string,
  upstreamPath: string,
  query: string,
  host: string,
  scheme: "http" | "https",
  httpVersion: "1.0" | "1.1" | "2.0",
  upgrade: string | null,
  hasBody: boolean,
  fields: Flat,
  address: string,
  peer: string,
  viaTrustedProxy: boolean,
];

/** What earlier plugins may have set in the meantime. */
export type LateFacts = readonly [
  identity: Identity | null,
  credentialFields: readonly string[],
  cacheStatus: string | null,
  responseIsPersonal: boolean,
  refusedBecause: string | null,
];

export type ErrorParts = readonly [
  code: string,
  detail: string,
  fields: Flat,
  type: string,
  members: Readonly<Record<string, unknown>>,
];

/** The argument of a hook beside the exchange. */
export type HookSubject =
  | readonly [status: number, fields: Flat, origin: "upstream" | "sidecar", error: ErrorParts | null]
  | readonly [error: ErrorParts]
  | readonly [outcome: Omit<Outcome, "error"> & { readonly error: ErrorParts | null }]
  | null;

export type ToProcess =
  | readonly ["load", LoadFacts, bundle: number]
  | readonly ["setup", setup: number, options: unknown, route: RouteFacts]
  | readonly ["close", setup: number]
  | readonly [
      "hook",
      call: number,
      setup: number,
      exchange: number,
      hook: HookName,
      facts: ExchangeFacts | null,
      late: LateFacts | null,
      subject: HookSubject,
    ]
  /** Nobody waits for the call any more. */
  | readonly ["cancel", call: number]
  /** No further hook will be called for that exchange. */
  | readonly ["forget", exchange: number]
  /** The plugin's state: to be exported for the next version, or imported from the previous one. */
  | readonly ["export", question: number]
  | readonly ["import", question: number, exported: unknown]
  | readonly ["ping", count: number]
  | readonly ["reply", request: number, value: unknown, bytes: number | null]
  | readonly ["failure", request: number, text: string, error: ErrorParts | null]
  | readonly ["secrets", secrets: Readonly<Record<string, string>>]
  | readonly ["fleet", size: number];

/** A body: text, or the place of its bytes. */
export type BodyParts = string | number | null;

export type VerdictParts =
  | readonly ["respond", status: number, fields: Flat | null, body: BodyParts]
  | readonly ["reject", ErrorParts]
  | null;

/** op, name, value, op, name, value … with the ops `set`, `append`, `delete`. */
export type FieldEdits = readonly string[];

export type Changes = readonly [
  request: FieldEdits | null,
  response: FieldEdits | null,
  status: number | null,
  body: BodyParts,
  responseIsPersonal: boolean,
  refusedBecause: string | null,
];

/** What a set-up declares about its hooks. */
export interface Declared {
  readonly hooks: readonly HookName[];
  readonly ownedRequestFields: readonly string[];
  readonly headOnlyFields: readonly string[];
}

export type ToSidecar =
  /** The process is ready to take its bundle. */
  | readonly ["started"]
  | readonly ["loaded"]
  | readonly ["ready", setup: number, Declared]
  /** @param setup 0 = the bundle itself */
  | readonly ["refused", setup: number, text: string]
  | readonly ["answer", call: number, VerdictParts, Changes | null]
  /** @param value the exported state; null = none */
  | readonly ["state", question: number, error: string | null, value: unknown]
  /** A hook threw: an error of the contract, or any other value as text. */
  | readonly ["thrown", call: number, text: string, ErrorParts | null]
  | readonly ["request", request: number, service: string, args: readonly unknown[]]
  | readonly ["pong", count: number]
  | readonly ["log", level: string, message: string, fields: string]
  /** Changes of series since the last time. */
  | readonly ["metrics", readonly MetricChange[]]
  /** Code of the plugin threw and did not catch it. */
  | readonly ["fault", text: string];

export type MetricChange = readonly [
  kind: "counter" | "gauge" | "histogram",
  name: string,
  help: string,
  labels: readonly string[],
  buckets: readonly number[] | null,
  aggregation: string | null,
  values: readonly string[],
  numbers: readonly number[],
];
