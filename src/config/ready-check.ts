// Parses how the sidecar asks the service whether it is ready.
import { FormatError, parseRequestTarget } from "./formats.ts";

export type ReadyCheck =
  | { readonly path: string }
  /** Uses gRPC's health checking protocol; "" = the whole server. */
  | { readonly grpcService: string };

/** @throws FormatError */
export function parseReadyCheck(text: string): ReadyCheck {
  const [, service] = /^grpc(?::([A-Za-z_][\w.-]{0,255}))?$/.exec(text) ?? [];
  if (text === "grpc" || service !== undefined) return { grpcService: service ?? "" };
  try {
    return { path: parseRequestTarget(text) };
  } catch {
    throw new FormatError("must be a path such as /healthz, grpc, or grpc:package.Service");
  }
}
