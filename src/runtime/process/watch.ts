// Looks after one life of a plugin's process: hooks that take too long, a process that does not answer even a ping, and
// one that has grown too large. Its clock ticks, so that a stall of the sidecar itself is not held against the plugin; nor
// is, for a while, that the machine has no time for its process.
import { readFileSync } from "node:fs";
import { CpuUse } from "../cpu-use.ts";
import type { PluginProcess } from "./plugin-process.ts";

export interface WatchLimits {
  /** Beyond what it had before it took its bundle. */
  readonly memoryBytes: number;
  /** Processors that it may take for long; undefined = any. */
  readonly cpuShare?: number | undefined;
}

const tickMs = 50;
/** Ticks that a ping may take, once a hook is late or once a second; while it loads or is set up. */
const pingTicks = 5;
const settingUpTicks = 40;
/** What it has had of a processor meanwhile, if it runs without end; one that has not may still answer within the above. */
const ranMs = 100;
const ticksBetweenPings = 20;
/** The hook's own time limit comes first. */
const graceMs = 20;
const pageBytes = 4_096;

export class ProcessWatch {
  readonly #process: PluginProcess;
  readonly #limits: WatchLimits;
  readonly #now: () => number;
  readonly #onTick: () => void;
  #timer: NodeJS.Timeout | undefined;
  #before = 0;
  #ticks = 0;
  #pings = 0;
  #pingedAt = 0;
  #pingedCpuMs: number | undefined;
  #baseBytes: number | undefined;
  readonly #cpu: CpuUse;
  #wasLate = false;
  /** Set-ups that it has not answered: these may take their time. */
  settingUp = 0;

  constructor(process: PluginProcess, limits: WatchLimits, now: () => number, onTick: () => void) {
    this.#process = process;
    this.#limits = limits;
    this.#now = now;
    this.#onTick = onTick;
    this.#cpu = new CpuUse(limits.cpuShare);
  }

  readonly #expire = (): void => {
    const late = this.#process.calls.expire(graceMs);
    for (const call of late) this.#process.send(["cancel", call]);
    this.#wasLate ||= late.length > 0;
  };

  /** Its memory is what it needs for itself. */
  start(): void {
    this.#before = this.#now();
    this.#baseBytes = this.memoryBytes();
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Of a processor, over the last second; undefined where that cannot be told. */
  get cpuShare(): number | undefined {
    return this.#cpu.share;
  }

  /** What it takes of the machine's memory; undefined where that cannot be told. */
  memoryBytes(): number | undefined {
    try {
      const statm = readFileSync(`/proc/${this.#process.pid}/statm`, "latin1");
      return Number(statm.split(" ", 2)[1]) * pageBytes;
    } catch {
      return undefined;
    }
  }

  #tick(): void {
    const now = this.#now();
    const process = this.#process;
    process.tick(now - this.#before);
    this.#before = now;
    this.#ticks += 1;
    this.#onTick();
    if (process.over) return;
    // What lies in the socket already is read before it is judged.
    if (process.calls.size > 0) setImmediate(this.#expire);
    this.#ping(this.#wasLate);
    this.#wasLate = false;
    this.#weigh();
    if (this.#ticks % ticksBetweenPings === 0) this.#measureCpu(now);
  }

  #measureCpu(now: number): void {
    const why = this.#cpu.measured(this.#cpuMs(), now);
    if (why !== undefined) this.#process.kill(why);
  }

  /** Time of processors that it has had; fields 14 and 15 of proc_pid_stat(5), in hundredths of a second. */
  #cpuMs(): number | undefined {
    try {
      const stat = readFileSync(`/proc/${this.#process.pid}/stat`, "latin1");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) * 10;
    } catch {
      return undefined;
    }
  }

  #ping(isLate: boolean): void {
    const process = this.#process;
    if (process.pongs < this.#pings) {
      const ticks = this.#ticks - this.#pingedAt;
      const most = this.settingUp > 0 || (ticks >= pingTicks && !this.#hasRun()) ? settingUpTicks : pingTicks;
      if (ticks >= most) setImmediate(() => this.#judge());
      return;
    }
    if (!isLate && this.#ticks - this.#pingedAt < ticksBetweenPings) return;
    this.#pings += 1;
    this.#pingedAt = this.#ticks;
    this.#pingedCpuMs = this.#cpuMs();
    process.send(["ping", this.#pings]);
  }

  /** Since it was pinged. */
  #hasRun(): boolean {
    const cpuMs = this.#cpuMs();
    return cpuMs === undefined || this.#pingedCpuMs === undefined || cpuMs - this.#pingedCpuMs >= ranMs;
  }

  #judge(): void {
    if (this.#process.pongs < this.#pings)
      this.#process.kill("it does not answer: something in it runs without end");
  }

  #weigh(): void {
    const bytes = this.memoryBytes();
    if (bytes === undefined || this.#baseBytes === undefined) return;
    if (bytes - this.#baseBytes > this.#limits.memoryBytes)
      this.#process.kill(`it took ${Math.ceil((bytes - this.#baseBytes) / 1_048_576)} MiB of memory`);
  }
}
