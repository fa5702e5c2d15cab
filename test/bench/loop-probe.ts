// Preloaded into a measured sidecar: reports to the process that started it how long its event loop was blocked.
export interface LoopReading {
  /** The longest time between two turns since the last reading, in ms. */
  readonly maxMs: number;
  /** The most CPU that the loop's thread used between two turns, in ms: time taken by other processes is not in it. */
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
// The channel must not keep the process alive.
process.channel?.unref();
