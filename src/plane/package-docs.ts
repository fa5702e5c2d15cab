// Writes a package's documentation as Markdown, from its manifest. All texts in it come from the author and are not
// trusted.
import type { Manifest, Package } from "../extensions/manifest.ts";
import { needsOf } from "./package-needs.ts";

/** Escapes an untrusted text for one line of Markdown, so that it has no effect as markup. */
function plain(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ").replace(/[\\`*_{}[\]<>#|~]/g, String.raw`\$&`);
}

/** Formats an untrusted text as code in a line or a table cell; nothing in it can end the code. */
function code(text: string): string {
  const shown = text
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, " ")
    .replace(/`/g, "'")
    .replace(/\|/g, String.raw`\|`);
  return `\`${shown}\``;
}

export function documentationOf({ manifest, kind, bytes, sha256 }: Package): string {
  const { name, version, apiVersion, description, priority, security, failMode, hooks } = manifest;
  const facts: readonly (readonly [string, string])[] = [
    ["version", code(version)],
    ["plugin contract", code(apiVersion)],
    ["kind", kind === "wasm" ? "WebAssembly module" : "JavaScript"],
    ["priority", String(priority)],
    ["decides who gets in", security ? "yes" : "no"],
    ["when it fails", failMode === "open" ? "the request goes on" : "the request is refused"],
    ["hooks", hooks.map(code).join(", ")],
    ["size", `${bytes.length} bytes`],
    ["SHA-256", code(sha256)],
    ...costOf(manifest),
  ];
  return [
    `# ${plain(name)}`,
    ...(description === "" ? [] : ["", plain(description)]),
    "",
    "| | |",
    "| --- | --- |",
    ...facts.map(([label, value]) => `| ${label} | ${value} |`),
    "",
    "## Asks for",
    "",
    ...needsOf(manifest.needs).map(([label, value]) => `- ${label}: ${plain(value)}`),
    "",
    "## Options",
    "",
    ...optionsOf(manifest),
    "",
  ].join("\n");
}

function costOf({ cost }: Manifest): [string, string][] {
  if (cost === undefined) return [];
  return [["cost a request", `${cost.micros} µs, ${cost.bytes} bytes (${plain(cost.measuredWith)})`]];
}

const maxRows = 200;
const maxDepth = 8;

function optionsOf({ options }: Manifest): string[] {
  const rows = rowsIn(options, "", 0).slice(0, maxRows);
  if (rows.length === 0) return ["It says none."];
  return ["| option | type | default | meaning |", "| --- | --- | --- | --- |", ...rows];
}

/** @returns table rows of options at every depth: `tiers[].limit`, `plans.*.limit` */
function rowsIn(schema: Readonly<Record<string, unknown>>, path: string, depth: number): string[] {
  if (depth > maxDepth) return [];
  const branches = ["anyOf", "oneOf", "allOf"].flatMap((name) => {
    const found = schema[name];
    return Array.isArray(found) ? found : [];
  });
  const rows = Object.entries(recordIn(schema, "properties"))
    .slice(0, maxRows)
    .flatMap(([name, child]) => {
      const childPath = path === "" ? name : `${path}.${name}`;
      return [rowOf(childPath, child), ...rowsIn(asRecord(child), childPath, depth + 1)];
    });
  return [
    ...branches.slice(0, maxDepth).flatMap((branch) => rowsIn(asRecord(branch), path, depth + 1)),
    ...rowsIn(recordIn(schema, "items"), `${path}[]`, depth + 1),
    ...rowsIn(recordIn(schema, "additionalProperties"), `${path}.*`, depth + 1),
    ...rows,
  ];
}

function rowOf(name: string, schema: unknown): string {
  const { type, enum: values, default: fallback, description } = asRecord(schema);
  const kind = Array.isArray(values) ? values.map((value) => JSON.stringify(value)).join(", ") : type;
  const shown = typeof kind === "string" ? code(kind.slice(0, 200)) : "";
  const given = fallback === undefined ? "" : code(JSON.stringify(fallback).slice(0, 200));
  return `| ${code(name)} | ${shown} | ${given} | ${typeof description === "string" ? plain(description) : ""} |`;
}

function recordIn(value: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  return asRecord(Object.hasOwn(value, name) ? value[name] : undefined);
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
