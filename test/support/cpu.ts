/**
 * @returns CPU that this thread has used so far, in milliseconds. For bounds on work: what else the machine does makes
 *   work take longer, and not dearer
 */
export function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}

/** @returns the most CPU that this thread takes between two turns of the event loop while that runs, in milliseconds */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = cpuMs();
  const look = (): void => {
    longest = Math.max(longest, cpuMs() - last);
    last = cpuMs();
  };
  const looking = setInterval(look, 1);
  await work();
  look();
  clearInterval(looking);
  return longest;
}
