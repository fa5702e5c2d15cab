// Declares the metrics of the auth plugin: name, help, labels.
import type { Counter, Metrics } from "../../src/plugin-api/contract.ts";

export const authTotal = (metrics: Metrics): ((method: string, result: string) => Counter) =>
  metrics.counter("outrigger_auth_total", "Requests by how the caller was known and what came of it", [
    "method",
    "result",
  ]);

export const ruleRefusals = (
  metrics: Metrics,
): ((rule: string, condition: string, mode: string) => Counter) =>
  metrics.counter(
    "outrigger_auth_rule_refusals_total",
    "Requests that a rule refused, or would have refused in a dry run, by the first condition that failed",
    ["rule", "condition", "mode"],
  );

export const tokenExchanges = (metrics: Metrics): ((result: string) => Counter) =>
  metrics.counter(
    "outrigger_auth_token_exchanges_total",
    "Tokens for the service that were asked for, by what came of it",
    ["result"],
  );

export const keyLookups = (metrics: Metrics): (() => Counter) =>
  metrics.counter("outrigger_auth_key_lookups_total", "Look-ups of API keys in Redis");

export const badKeyRecords = (metrics: Metrics): (() => Counter) =>
  metrics.counter(
    "outrigger_auth_bad_key_records_total",
    "Look-ups that found an API key's record that is not valid",
  );
