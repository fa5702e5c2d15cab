// Checks what a hook returned. Plugins are other people's code: a value that is not a verdict is the plugin's fault.
import type { RejectVerdict, RespondVerdict, Verdict } from "../plugin-api/contract.ts";
import { gatewayErrorOf, isFlat } from "../plugin-api/errors.ts";

/**
 * @returns the verdict, with its error as a GatewayError of this process; or an Error that says why the value is not a
 * verdict
 */
export function takeVerdict(value: unknown): Verdict | Error {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object") return new Error(`a hook returned a ${typeof value}`);
  const verdict = value as Partial<Extract<Verdict, { action: string }>>;
  if (verdict.action === "reject") {
    const error = gatewayErrorOf(verdict.error);
    if (error === undefined) return new Error("the error of a reject is no GatewayError");
    return error === verdict.error ? (verdict as RejectVerdict) : { action: "reject", error };
  }
  if (verdict.action !== "respond") return new Error("a hook returned neither a respond nor a reject");
  const { status, fields, body } = verdict;
  if (!isFinalStatus(status)) return new Error("the status of a respond is none");
  if (body !== undefined && typeof body !== "string" && !Buffer.isBuffer(body))
    return new Error("the body of a respond is neither text nor a Buffer");
  if (fields !== undefined && !isFlat(fields))
    return new Error("the fields of a respond are no name-value list");
  return verdict as RespondVerdict;
}

/** Whether it can be the status of a final response: three digits, not 1xx. */
export function isFinalStatus(status: number | undefined): boolean {
  return status !== undefined && Number.isInteger(status) && status >= 200 && status <= 999;
}

/** Accepts promises of other libraries too. If one were taken for a verdict, the request would not wait for it. */
export function isThenable(value: unknown): value is PromiseLike<never> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
