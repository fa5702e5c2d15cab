// Preloaded into a sidecar that is measured: tells whoever started it how long its event loop stood still.
export interface LoopReading {
  /** The longest time between two turns since the last reading. */
  readonly maxMs: number;
  /** The most CPU that the loop's thread took between two turns: without what others on the machine took from it. */
  readonly maxCpuMs: number;
}

const longest = { maxMs: 0, maxCpuMs: 0 };
let lastMono = performance.now();
let lastCpu = process.threadCpuUsage();
setInterval(() => {
  const { user, system } = process.threadCpuUsage(lastCpu);
  longest.maxMs = Math.max(longest.maxMs, performance.now() - lastMono);
  longest.maxCpuMs = Math.max(longest.maxCpuMs, (user + system) / 1000);
  lastMono = performance.now();
  lastCpu = process.threadCpuUsage();
}, 1).unref();
process.on("message", () => {
  process.send?.(longest satisfies LoopReading);
  Object.assign(longest, { maxMs: 0, maxCpuMs: 0 });
});
// It must not keep the process alive.
process.channel?.unref();
