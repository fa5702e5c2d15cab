// Watches one life of a plugin's process. It ends hooks that take too long. It kills a process that does not even
// answer a ping, has grown too large, or takes too much CPU time. Time is counted in ticks, so that a stall of the
// sidecar does not count against the plugin. Nor does, for a while, a machine too busy to run the process.
import { readFileSync } from "node:fs";
import { CpuUse } from "../cpu-use.ts";
import type { PluginProcess } from "./plugin-process.ts";

export interface WatchLimits {
  /** Limit of the growth beyond what the process used before it took its bundle. */
  readonly memoryBytes: number;
  /** CPU cores it may use on average for long; undefined = no limit. */
  readonly cpuShare?: number | undefined;
}

const tickMs = 50;
/**
 * Ticks within which a ping must be answered: normally, and while the process loads, is set up or gets no CPU time. A
 * ping is sent when a hook is late, and otherwise once a second.
 */
const pingTicks = 5;
const settingUpTicks = 40;
/**
 * CPU time since the ping, in ms, from which an unanswered ping means an endless loop. With less, the longer limit
 * above applies.
 */
const ranMs = 100;
const ticksBetweenPings = 20;
/** Extra time, so that the hook's own time limit passes first. */
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
  /** Set-ups without an answer yet. While there are any, pings have the longer limit. */
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

  /** Starts to watch. The memory used now is the base that growth is measured from. */
  start(): void {
    this.#before = this.#now();
    this.#baseBytes = this.memoryBytes();
    this.#timer = setInterval(() => this.#tick(), tickMs).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** CPU share over the last second (1 = one core); undefined = unknown. */
  get cpuShare(): number | undefined {
    return this.#cpu.share;
  }

  /** Resident memory in bytes; undefined = unknown. */
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
    // Read what the socket already holds before judging the process.
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

  /** CPU time used so far, in milliseconds. Fields 14 and 15 of proc_pid_stat(5) count hundredths of a second. */
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

  /** Whether the process has had `ranMs` of CPU time since the ping; true where that is unknown. */
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
