// Turns the options into the response fields to send, once for each route.
import { fieldKey } from "../../src/language/field-name.ts";
import type { SecurityHeadersOptions } from "./options.ts";
import { type FieldValues, presets } from "./presets.ts";

/** Every field with its option, in the order in which they are sent. */
const names: readonly (readonly [keyof FieldValues, string])[] = [
  ["strictTransportSecurity", "Strict-Transport-Security"],
  ["contentSecurityPolicy", "Content-Security-Policy"],
  ["contentSecurityPolicyReportOnly", "Content-Security-Policy-Report-Only"],
  ["frameOptions", "X-Frame-Options"],
  ["contentTypeOptions", "X-Content-Type-Options"],
  ["referrerPolicy", "Referrer-Policy"],
  ["permissionsPolicy", "Permissions-Policy"],
  ["crossOriginOpenerPolicy", "Cross-Origin-Opener-Policy"],
  ["crossOriginEmbedderPolicy", "Cross-Origin-Embedder-Policy"],
  ["crossOriginResourcePolicy", "Cross-Origin-Resource-Policy"],
];

/** Listed because these fields must not come in trailers. */
export const fieldNames: readonly string[] = names.map(([, name]) => name);

export interface Line {
  readonly option: keyof FieldValues;
  readonly name: string;
  readonly key: string;
  readonly value: string;
}

/** @returns the value that an option stands for; undefined = the field is not sent */
export function valueOf(options: SecurityHeadersOptions, option: keyof FieldValues): string | undefined {
  const value = options[option];
  if (value === "off") return undefined;
  return value === "preset" ? presets[options.preset][option] : value;
}

export function linesOf(options: SecurityHeadersOptions): readonly Line[] {
  return names.flatMap(([option, name]) => {
    const value = valueOf(options, option);
    return value === undefined ? [] : [{ option, name, key: fieldKey(name), value }];
  });
}
