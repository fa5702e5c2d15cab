// Builds the text of the shim, the program that runs beside a guest. It is text because isolates share no objects with
// this process.
import { guestBounds } from "./bounds.ts";
import { hooks } from "./guest-host.ts";
import { BufferCalls } from "./shim/buffer-calls.ts";
import { Effects } from "./shim/effects.ts";
import { HeaderCalls } from "./shim/header-calls.ts";
import { HeaderMap } from "./shim/header-map.ts";
import { LogCalls } from "./shim/log-calls.ts";
import { Memory } from "./shim/memory.ts";
import { MetricCalls } from "./shim/metric-calls.ts";
import { Pairs } from "./shim/pairs.ts";
import type { ShimParts } from "./shim/parts.ts";
import { Program } from "./shim/program.ts";
import { PropertyCalls } from "./shim/property-calls.ts";
import { RandomBytes } from "./shim/random.ts";
import { SharedCalls } from "./shim/shared-calls.ts";
import { GuestState } from "./shim/state.ts";
import { StreamCalls } from "./shim/stream-calls.ts";
import { GuestExit, WasiCalls } from "./shim/wasi-calls.ts";

const shimParts: ShimParts = {
  Memory,
  HeaderMap,
  Pairs,
  Effects,
  GuestState,
  HeaderCalls,
  BufferCalls,
  StreamCalls,
  SharedCalls,
  MetricCalls,
  PropertyCalls,
  LogCalls,
  WasiCalls,
  RandomBytes,
  GuestExit,
};

const classes = Object.entries(shimParts).map(([name, part]) => `${name}: (${String(part)})`);

/**
 * Body of a function with the parameters `module` (bytes), `facts` (JSON) and `key` (32 random bytes). It defines
 * `started`, the answer of the start, and `invoke`.
 */
export const shimText = `"use strict";
const parts = { ${classes.join(",\n")} };
const Program = (${String(Program)});
const hooks = ${JSON.stringify(hooks)};
const bounds = ${JSON.stringify(guestBounds)};
const program = new Program(parts, hooks, bounds, JSON.parse(facts), key);
const started = program.load(
  (imports) => new WebAssembly.Instance(new WebAssembly.Module(module), imports).exports,
);
const invoke = (hook, context, number, text, more) => program.invoke(hook, context, number, text, more);
`;

/** @returns `module.name` of everything that a module can import */
export function importNames(): ReadonlySet<string> {
  const facts = {
    abi: "0.2.1",
    vmConfiguration: "",
    properties: {},
    clusters: [],
    hosts: [],
    environment: [],
    logLevel: 5,
  };
  const program = new Program(shimParts, hooks, guestBounds, facts, "\0".repeat(32));
  return new Set(program.importNames());
}
