// Parses quantities of Kubernetes, as far as a sidecar needs them.
import { FormatError, matching } from "../config/formats.ts";

/** What an idle sidecar needs, in bytes: with less, its container would be killed again and again. */
const minMemory = 96 * 1_048_576;
const units: Readonly<Record<string, number>> = {
  k: 1e3,
  M: 1e6,
  G: 1e9,
  Ki: 1_024,
  Mi: 1_048_576,
  Gi: 1_073_741_824,
};

export const parseCpu = matching(
  /^(?:[1-9]\d{0,4}m|[1-9]\d{0,2}(?:\.\d{1,3})?|0\.\d{0,2}[1-9]\d{0,2})$/,
  "processors, such as 100m or 1.5",
);

const memoryText = matching(/^[1-9]\d{0,9}(?:[kMG]|[KMG]i)$/, "memory, such as 256Mi");

export function parseMemory(text: string): string {
  if (bytesOf(memoryText(text)) >= minMemory) return text;
  throw new FormatError(`must be at least 96Mi, which the sidecar takes idle, not "${text}"`);
}

/** @param text valid for `parseCpu` @returns thousandths of a processor */
export function milliCpus(text: string): number {
  return text.endsWith("m") ? Number(text.slice(0, -1)) : Number(text) * 1000;
}

/** @param text valid for `parseMemory` */
export function bytesOf(text: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,10})([A-Za-z]{0,2})$/.exec(text) ?? [];
  return Number(digits) * (units[unit] ?? 1);
}
