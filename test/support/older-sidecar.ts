// A sidecar of the previous version, as other sidecars see it in Redis. Its writes and its way of counting are recorded
// word for word from that version's code (of 28 Nov 2026, before heartbeats said since when a policy is in force).
import { createHash } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { RedisServer } from "./redis.ts";

const expiryMs = 15_000;

/** Recorded script. It does not know silent sidecars, and counts all members of the set. */
const count = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])`;

const sha256 = (text: string | Buffer): string => createHash("sha256").update(text).digest("hex");

export class OlderSidecar {
  readonly #cli: RedisServer["cli"];
  readonly #service: string;
  readonly #instance: string;
  #inForce: { readonly shared: Buffer; readonly since: string } | undefined;
  #revision = 0;
  #stopped = false;
  #work: Promise<void> = Promise.resolve();
  /** Number of live sidecars by this sidecar's own count. */
  size = 1;
  /** While set, it refuses every new policy, and reports that. */
  refuses = false;
  #lastError: { readonly at: string; readonly count: number; readonly first: string } | null = null;

  constructor(cli: RedisServer["cli"], service: string, instance: string) {
    this.#cli = cli;
    this.#service = service;
    this.#instance = instance;
  }

  async start(): Promise<void> {
    await this.#step();
    this.#work = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#work;
    await this.#cli.del(`outrigger:fleet:${this.#service}:${this.#instance}`);
    await this.#cli.zrem(`outrigger:live:${this.#service}`, this.#instance);
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      await this.#step();
      await wait(50);
    }
  }

  async #step(): Promise<void> {
    const shared = await this.#cli.getBuffer("outrigger:policy");
    const now = new Date().toISOString();
    if (shared !== null && this.#inForce?.shared.equals(shared) !== true) {
      if (this.refuses) this.#lastError = { at: now, count: 2, first: "plugins[0] unknown plugin" };
      else {
        this.#inForce = { shared, since: now };
        this.#revision += 1;
        this.#lastError = null;
      }
    }
    const key = `outrigger:fleet:${this.#service}:${this.#instance}`;
    await this.#cli.set(key, JSON.stringify(this.#heartbeat(now)), "PX", expiryMs);
    const members = `outrigger:live:${this.#service}`;
    this.size = Number(await this.#cli.eval(count, 1, members, this.#instance, expiryMs));
  }

  /** Recorded: the names of the members and their order. */
  #heartbeat(now: string): Readonly<Record<string, unknown>> {
    const { shared, since = null } = this.#inForce ?? {};
    return {
      service: this.#service,
      instance: this.#instance,
      version: "0.0.9",
      revision: this.#revision,
      digest: shared === undefined ? null : sha256(shared),
      documents: shared === undefined ? null : { shared: sha256(shared), layer: null },
      source: "redis",
      since,
      lastError: this.#lastError,
      overruled: null,
      at: now,
    };
  }
}

interface OlderChange {
  readonly revision: number;
  readonly document: string;
  readonly author: string;
}

/**
 * Sets the policy with its history as that version's script did.
 * @param further fields besides those it wrote, or in their place
 */
export async function writeByOlder(
  cli: RedisServer["cli"],
  { revision, document, author }: OlderChange,
  further: Readonly<Record<string, string>> = {},
): Promise<void> {
  const [seconds] = await cli.time();
  const mark = createHash("sha1").update(document).digest("hex");
  const facts = { revision: String(revision), kind: "apply", at: `${seconds}000`, author, reason: "" };
  const base = String(revision - 1);
  const rest = { digest: sha256(document), base, reporter: "", id: `id-${revision}`, mark };
  const bytes = String(Buffer.byteLength(document));
  const entry = { ...facts, ...rest, bytes, sum: bytes, deleted: "", document, ...further };
  const head = {
    revision,
    mark,
    digest: rest.digest,
    author,
    reason: "",
    at: Number(facts.at),
    kind: "apply",
  };
  await cli
    .multi()
    .set("outrigger:policy", document)
    .set("outrigger:epoch", String(revision))
    .set("outrigger:applied", JSON.stringify({ ...head, id: rest.id }))
    .xadd("outrigger:history", "*", ...Object.entries(entry).flat())
    .exec();
}

/** Reads the history as that version's commands did. @throws Error where they would have failed */
export async function readByOlder(
  cli: RedisServer["cli"],
): Promise<{ readonly entries: readonly string[]; readonly head: object }> {
  const entries = (await cli.xrevrange("outrigger:history", "+", "-")).map(([, flat]) => {
    const fields = Object.fromEntries(
      flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1]]] : [])),
    );
    for (const name of ["revision", "at", "base", "bytes"])
      if (!/^\d+$/.test(fields[name] ?? "")) throw new Error(`${name} is no number`);
    for (const name of ["kind", "author", "digest"])
      if (fields[name] === undefined) throw new Error(`${name} is missing`);
    return `${fields["revision"]} ${fields["kind"]} ${fields["author"]}`;
  });
  const { revision, kind, author } = JSON.parse((await cli.get("outrigger:applied")) ?? "") as OlderChange & {
    readonly kind: string;
  };
  return { entries, head: { revision, kind, author } };
}
