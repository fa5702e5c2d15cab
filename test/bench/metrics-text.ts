// Reads the figures that the benches need from the text of a sidecar's /metrics.

export interface Sample {
  readonly externalMiB: number;
  readonly descriptors: number;
  /** Handles, requests and timers that keep the process up. */
  readonly resources: number;
  readonly requests: number;
  /** Exchanges with the upstream under way, and those that wait for a connection. */
  readonly active: number;
  readonly queued: number;
  readonly faults: number;
}

const mebibyte = 1024 * 1024;

/** @param text in the Prometheus text format; a family with labels counts as the sum of its series */
export function findSample(text: string): Sample {
  const sum = (name: string, label = ""): number => {
    let total = 0;
    for (const line of text.split("\n")) {
      if (!line.startsWith(name) || !/^[ {]/.test(line.slice(name.length)) || !line.includes(label)) continue;
      total += Number(line.slice(line.lastIndexOf(" ") + 1));
    }
    return total;
  };
  return {
    externalMiB: sum("nodejs_external_memory_bytes") / mebibyte,
    descriptors: sum("process_open_fds"),
    resources: sum("nodejs_active_resources_total"),
    requests: sum("outrigger_requests_total"),
    active: sum("outrigger_upstream_connections", 'state="active"'),
    queued: sum("outrigger_upstream_connections", 'state="queued"'),
    faults: sum("outrigger_faults_total"),
  };
}

/** Memory of each of V8's heap spaces in MiB, by name. */
export function heapSpaces(text: string): Map<string, number> {
  const series = text.matchAll(/^nodejs_heap_space_size_total_bytes\{space="(\w+)".*\} (\d+)$/gmu);
  return new Map(Array.from(series, ([, name = "", bytes]) => [name, Number(bytes) / mebibyte]));
}

export function median(samples: readonly Sample[], name: keyof Sample): number {
  const sorted = samples.map((each) => each[name]).toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}
