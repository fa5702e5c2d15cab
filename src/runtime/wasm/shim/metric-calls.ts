// Implements the ABI functions for metrics. Values are kept here, where guests read them; the host is told of every
// change.
import type { Effects } from "./effects.ts";
import type { HostFunctions } from "./host-functions.ts";
import type { Memory } from "./memory.ts";

interface Metric {
  /** 0 = counter, 1 = gauge, 2 = histogram. */
  readonly type: number;
  readonly name: string;
  value: bigint;
}

export class MetricCalls {
  readonly #memory: Memory;
  readonly #effects: Effects;
  readonly #most: number;
  readonly #metrics: Metric[] = [];

  constructor(memory: Memory, effects: Effects, most: number) {
    this.#memory = memory;
    this.#effects = effects;
    this.#most = most;
  }

  functions(): HostFunctions {
    return {
      proxy_define_metric: (type, name, size, toId) => this.#define(type >>> 0, name, size, toId),
      proxy_increment_metric: (id, by) => this.#increment(id >>> 0, BigInt.asIntN(64, BigInt(by))),
      proxy_record_metric: (id, value) => this.#record(id >>> 0, BigInt.asUintN(64, BigInt(value))),
      proxy_get_metric: (id, toValue) => {
        const metric = this.#metrics[(id >>> 0) - 1];
        if (metric === undefined) return 1;
        if (metric.type === 2) return 2;
        return this.#memory.writeU64(toValue, BigInt.asUintN(64, metric.value)) ? 0 : 6;
      },
    };
  }

  #define(type: number, name: number, size: number, toId: number): number {
    if (type > 2) return 2;
    const text = this.#memory.read(name, size);
    if (text === undefined || !this.#memory.has(toId, 4)) return 6;
    let index = this.#metrics.findIndex((metric) => metric.name === text && metric.type === type);
    if (index === -1) {
      if (this.#metrics.length >= this.#most || text.length > 256) return 10;
      index = this.#metrics.push({ type, name: text, value: 0n }) - 1;
      this.#effects.add("m", String(index + 1), String(type), text);
    }
    this.#memory.writeU32(toId, index + 1);
    return 0;
  }

  #increment(id: number, by: bigint): number {
    const metric = this.#metrics[id - 1];
    if (metric === undefined) return 1;
    if (metric.type === 2 || (metric.type === 0 && by < 0n)) return 2;
    if (by !== 0n) this.#set(id, metric, metric.value + by, by);
    return 0;
  }

  #record(id: number, value: bigint): number {
    const metric = this.#metrics[id - 1];
    if (metric === undefined) return 1;
    // A counter never falls.
    if (metric.type === 0 && value < metric.value) return 2;
    this.#set(id, metric, value, metric.type === 0 ? value - metric.value : value);
    return 0;
  }

  #set(id: number, metric: Metric, value: bigint, by: bigint): void {
    metric.value = value;
    if (this.#effects.hasRoom(32)) this.#effects.add("v", String(id), String(metric.type === 1 ? value : by));
  }
}
