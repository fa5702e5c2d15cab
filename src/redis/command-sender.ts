// Sends one command within a time limit, and handles its result: breaker, latency metrics, errors without data.
import { Cluster, Command, type Redis } from "ioredis";
import type { CircuitBreaker } from "./circuit-breaker.ts";
import { isOutage, noAnswer, reasonOf, replyCode } from "./failure.ts";
import type { RefusedWrites } from "./refused-writes.ts";
import type { Transmit } from "./simulated-fault.ts";
import { StoreUnavailable } from "../plugin-api/store.ts";

export type Argument = string | number | Buffer;

/**
 * Reports latency and outcome of every command that was sent: the command's name in lower case, seconds, and the code
 * word of an error reply, if any. Called when the wait for the answer ends.
 */
export type OnCommand = (name: string, seconds: number, ok: boolean, code?: string) => void;

export interface CommandSender {
  /**
   * @param encoding of the strings in the reply; null = Buffer
   * @param node sends the command to this node, not to the one of its key
   * @throws StoreUnavailable within `limitMs`
   */
  send(
    name: string,
    args: readonly Argument[],
    encoding: "utf8" | null,
    limitMs: number,
    node?: Redis,
  ): Promise<unknown>;
  /** Sends the commands of `write` in one write to each socket, before this returns. */
  batch<Result>(write: () => Result): Result;
  /** The servers that hold keys. */
  masters(): readonly Redis[];
}

export function createCommandSender(
  client: Redis | Cluster,
  isUp: () => boolean,
  breaker: CircuitBreaker,
  onCommand: OnCommand | undefined,
  writes: RefusedWrites,
  transmit: Transmit,
): CommandSender {
  const masters = (): readonly Redis[] => (client instanceof Cluster ? client.nodes("master") : [client]);

  function send(
    name: string,
    args: readonly Argument[],
    encoding: "utf8" | null,
    limitMs: number,
    node: Redis | Cluster = client,
  ): Promise<unknown> {
    if (!isUp()) return Promise.reject(new StoreUnavailable(`${name}: Redis is out of reach`));
    const command = new Command(name, [...args], { replyEncoding: encoding });
    // A timed-out command keeps its place in the connection's queue, so a late answer cannot go to another command.
    const timer = setTimeout(giveUp, limitMs, command);
    const startedAt = performance.now();
    const settled = (ok: boolean, code?: string): void => {
      clearTimeout(timer);
      onCommand?.(name, (performance.now() - startedAt) / 1_000, ok, code);
    };
    return transmit(node, command).then(
      (reply) => {
        breaker.succeeded();
        settled(true);
        return reply;
      },
      (error: unknown) => {
        const reason = reasonOf(error);
        if (reason === noAnswer) breaker.unanswered(reason, performance.now() - startedAt - limitMs);
        else if (isOutage(error)) breaker.failed(reason);
        writes.heard(replyCode(error));
        settled(false, replyCode(error));
        // Not as `cause`: ioredis attaches the command's arguments to its errors.
        throw new StoreUnavailable(`${name}: ${reason}`, replyCode(error));
      },
    );
  }

  return { send, batch: (write) => batchOn(masters(), write), masters };
}

function batchOn<Result>(nodes: readonly Redis[], write: () => Result): Result {
  const streams = nodes.map((node) => node.stream);
  for (const stream of streams) stream?.cork();
  try {
    return write();
  } finally {
    for (const stream of streams) stream?.uncork();
  }
}

/** After a stall of this process, the answer may be in the socket already: it is read before the call gives up. */
function giveUp(command: Command): void {
  setImmediate(() => {
    if (!command.isSettled) command.reject(new Error("Command timed out"));
  });
}
