// Converts errors of the contract for the way between the two processes.
import { type ErrorCode, type GatewayError, gatewayErrorOf } from "../../../plugin-api/errors.ts";
import type { ErrorParts } from "../protocol.ts";

export type ErrorClass = typeof GatewayError;

function partsOf({ code, detail, fields, type, members }: GatewayError): ErrorParts {
  return [code, detail, fields, type, members];
}

/** @returns null if `thrown` is not an error of the contract */
export function partsOfThrown(thrown: unknown): ErrorParts | null {
  const error = gatewayErrorOf(thrown);
  return error === undefined ? null : partsOf(error);
}

export function errorOf([code, detail, fields, type, members]: ErrorParts, Class: ErrorClass): GatewayError {
  return new Class(code as ErrorCode, detail, { fields, type, members });
}

export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`;
}
