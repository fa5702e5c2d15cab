// What a hook may answer with. Plugins are other people's code: what is no verdict is a fault of the plugin.
import type { RejectVerdict, RespondVerdict, Verdict } from "../plugin-api/contract.ts";
import { gatewayErrorOf, isFlat } from "../plugin-api/errors.ts";

/** @returns the verdict, its error one of ours; an Error that says what is wrong when it is none */
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

/** Whether that can be the status of an answer: three digits, and none that announces another answer. */
export function isFinalStatus(status: number | undefined): boolean {
  return status !== undefined && Number.isInteger(status) && status >= 200 && status <= 999;
}

/** Libraries of other people's promises count too: taken for a verdict, one would let the request wait for nothing. */
export function isThenable(value: unknown): value is PromiseLike<never> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
