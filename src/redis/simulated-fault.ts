// Simulates faults of Redis in the store, for drills.
import type { Cluster, Command, Redis } from "ioredis";

export interface SimulatedFault {
  /** Whether Redis appears unreachable. */
  readonly down: boolean;
  /** How much later Redis appears to answer, in ms. */
  readonly delayMs: number;
  /** @param listener called when the fault begins or ends @returns a function that stops these calls */
  onChange(listener: () => void): () => void;
}

export const simulatedOutage = "drill: redis-down";

/** Sends a command over its connection. */
export type Transmit = (node: Redis | Cluster, command: Command) => Promise<unknown>;

export const transmit: Transmit = (node, command) => node.sendCommand(command) as Promise<unknown>;

/** Delays commands by the fault's delay, in their order: to callers, the answers come later. */
export function delayed(fault: SimulatedFault): Transmit {
  return (node, command) => {
    const { delayMs } = fault;
    if (delayMs === 0) return transmit(node, command);
    setTimeout(() => void transmit(node, command).catch(() => {}), delayMs).unref();
    return command.promise as Promise<unknown>;
  };
}

type Watch = (name: string, onChange: (key: string | null) => void) => () => void;

/** Hides changes while Redis appears unreachable; afterwards reports that changes may have been missed. */
export function deaf(watch: Watch, fault: SimulatedFault): Watch {
  return (name, onChange) => {
    let missing = fault.down;
    const stop = watch(name, (key) => {
      if (!fault.down) onChange(key);
    });
    const forget = fault.onChange(() => {
      if (missing && !fault.down) onChange(null);
      missing = fault.down;
    });
    return () => {
      forget();
      stop();
    };
  };
}
