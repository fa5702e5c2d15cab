// Declares all metrics of the cache plugin: name, help, labels.
import type { Counter, Gauge, Metrics } from "../../src/plugin-api/contract.ts";

export const requestsTotal = (metrics: Metrics): ((result: string) => Counter) =>
  metrics.counter("outrigger_cache_requests_total", "Requests by what the cache made of them", ["result"]);

export const memoryBytes = (metrics: Metrics): (() => Gauge) =>
  metrics.gauge("outrigger_cache_memory_bytes", "Bytes in the memory tier, keys and fields counted");

export const memoryEntries = (metrics: Metrics): (() => Gauge) =>
  metrics.gauge("outrigger_cache_memory_entries", "Entries in the memory tier");

export const badRecordsTotal = (metrics: Metrics): (() => Counter) =>
  metrics.counter(
    "outrigger_cache_bad_records_total",
    "Entries in Redis that were truncated, of another version or hostile",
  );
