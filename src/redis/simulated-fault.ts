// A fault that the store behaves as if Redis had, for drills.
import type { Cluster, Command, Redis } from "ioredis";

export interface SimulatedFault {
  /** Whether Redis is out of reach. */
  readonly down: boolean;
  /** By how much later it answers. */
  readonly delayMs: number;
  /** @param listener told when it begins or ends @returns stops that */
  onChange(listener: () => void): () => void;
}

export const simulatedOutage = "drill: redis-down";

/** Hands a command to its connection. */
export type Transmit = (node: Redis | Cluster, command: Command) => Promise<unknown>;

export const transmit: Transmit = (node, command) => node.sendCommand(command) as Promise<unknown>;

/** Commands leave later by the fault's delay, in their order: to callers that is an answer which comes later. */
export function delayed(fault: SimulatedFault): Transmit {
  return (node, command) => {
    const { delayMs } = fault;
    if (delayMs === 0) return transmit(node, command);
    setTimeout(() => void transmit(node, command).catch(() => {}), delayMs).unref();
    return command.promise as Promise<unknown>;
  };
}

type Watch = (name: string, onChange: (key: string | null) => void) => () => void;

/** What is changed while Redis is out of reach is not told; afterwards, that something may have been missed. */
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
