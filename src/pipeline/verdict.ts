// What a hook may answer with. Plugins are other people's code: what is no verdict is a fault of the plugin.
import type { Verdict } from "./contract.ts";
import { GatewayError } from "./errors.ts";

/** @returns what is wrong with it; undefined = it is a verdict, or nothing */
export function verdictProblem(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") return `a hook returned a ${typeof value}`;
  const verdict = value as Partial<Extract<Verdict, { action: string }>>;
  if (verdict.action === "reject") {
    return verdict.error instanceof GatewayError ? undefined : "the error of a reject is no GatewayError";
  }
  if (verdict.action !== "respond") return "a hook returned neither a respond nor a reject";
  const { status, fields, body } = verdict;
  if (!isFinalStatus(status)) return "the status of a respond is none";
  if (body !== undefined && typeof body !== "string" && !Buffer.isBuffer(body)) {
    return "the body of a respond is neither text nor a Buffer";
  }
  return fields === undefined || isFlat(fields)
    ? undefined
    : "the fields of a respond are no name-value list";
}

/** Whether that can be the status of an answer: three digits, and none that announces another answer. */
export function isFinalStatus(status: number | undefined): boolean {
  return status !== undefined && Number.isInteger(status) && status >= 200 && status <= 999;
}

function isFlat(fields: unknown): boolean {
  return Array.isArray(fields) && fields.length % 2 === 0 && fields.every((text) => typeof text === "string");
}
