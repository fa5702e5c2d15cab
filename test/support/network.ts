// Makes networks for a test: two network namespaces with a cable between them, and in each a process that does what it
// is told. This machine's own network is not touched.
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { promisify } from "node:util";
import type { Finished } from "./process.ts";
import type { Task } from "./inhabitant.ts";

const run = promisify(execFile);
const inhabitant = new URL("./inhabitant.ts", import.meta.url).pathname;

export type Place = "host" | "peer";
const addresses = { host: ["10.79.0.1", "fd79::1"], peer: ["10.79.0.2", "fd79::2"] } as const;

const ip = (...args: readonly string[]): void => void execFileSync("ip", args, { stdio: "pipe" });

export interface Curled {
  readonly code: number;
  readonly text: string;
}

export class Network {
  readonly #names: Readonly<Record<Place, string>>;
  readonly #inhabitants = new Map<Place, ChildProcess>();
  #tasks = 0;

  constructor() {
    this.#names = { host: `outrigger-${process.pid}-h`, peer: `outrigger-${process.pid}-p` };
    const { host, peer } = this.#names;
    for (const name of [host, peer]) ip("netns", "add", name);
    ip("-n", host, "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", peer);
    for (const place of ["host", "peer"] as const) {
      const name = this.#names[place];
      const [four, six] = addresses[place];
      ip("-n", name, "address", "add", `${four}/24`, "dev", "cable");
      ip("-n", name, "address", "add", `${six}/64`, "dev", "cable", "nodad");
      for (const link of ["lo", "cable"]) ip("-n", name, "link", "set", link, "up");
    }
  }

  /** @returns program and arguments that run another program in that place */
  command(place: Place, ...args: readonly string[]): [program: string, args: string[]] {
    return ["ip", ["netns", "exec", this.#names[place], ...args]];
  }

  async run(place: Place, ...args: readonly string[]): Promise<string> {
    return (await run(...this.command(place, ...args), { timeout: 10_000 })).stdout;
  }

  /** @returns curl's output and exit code: 7 = refused, 28 = no answer in time */
  async curl(place: Place, args: readonly string[], before: readonly string[] = []): Promise<Curled> {
    const [program, all] = this.command(place, ...before, "curl", "-sg", "-m", "3", ...args);
    try {
      return { code: 0, text: (await run(program, all)).stdout };
    } catch (error) {
      return { code: Number((error as { code?: unknown }).code), text: "" };
    }
  }

  /** Makes the process in that place do the task. */
  async do(place: Place, task: Task): Promise<unknown> {
    let child = this.#inhabitants.get(place);
    if (child === undefined) {
      const [program, args] = this.command(place, process.execPath, inhabitant);
      child = spawn(program, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
      this.#inhabitants.set(place, child);
    }
    const number = ++this.#tasks;
    child.send({ number, task });
    for (;;) {
      const [answer] = (await once(child, "message")) as [
        { number: number; error?: string; result: unknown },
      ];
      if (answer.number !== number) continue;
      if (answer.error !== undefined) throw new Error(answer.error);
      return answer.result;
    }
  }

  /** Runs `outrigger <args>` in that place. */
  async outrigger(place: Place, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    return (await this.do(place, { outrigger: args, env })) as Finished;
  }

  close(): void {
    for (const child of this.#inhabitants.values()) child.kill("SIGKILL");
    for (const name of Object.values(this.#names)) ip("netns", "delete", name);
  }
}

/** @returns why networks with NAT cannot be made on this machine; false = they can */
export function whyNoNetwork(): string | false {
  const name = `outrigger-${process.pid}-try`;
  const chain = "add chain inet try nat { type nat hook prerouting priority -100; }";
  const rule = "add rule inet try nat fib daddr type local tcp dport 1 redirect to :2";
  try {
    ip("netns", "add", name);
    try {
      ip("-n", name, "link", "add", "cable", "type", "veth", "peer", "name", "end");
      ip("-n", name, "address", "add", "fd79::1/64", "dev", "cable", "nodad");
      const rules = `add table inet try; ${chain}; ${rule}`;
      execFileSync("ip", ["netns", "exec", name, "nft", rules], { stdio: "pipe" });
    } finally {
      ip("netns", "delete", name);
    }
    return false;
  } catch (error) {
    const text = String((error as { stderr?: unknown }).stderr ?? error).trim() || String(error);
    return `INTERCEPTION IS NOT TRIED HERE, no network with NAT can be made: ${text.split("\n")[0]}`;
  }
}
