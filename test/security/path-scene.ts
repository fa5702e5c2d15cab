// A policy with a guarded and an open side, and a service that tells which target it was asked for.
import { hash } from "node:crypto";
import type { Scene } from "../support/scene.ts";
import type { TestSidecar } from "../support/sidecar.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";

export const goodKey = "a-good-key";
export const keys = [{ sha256: hash("sha256", goodKey), id: "k1", userId: "u1", scopes: ["read"] }];

export interface Asked {
  readonly status: number;
  /** What the service heard, `GET /target`; or the problem. */
  readonly body: string;
}

/** A sidecar with this policy before such a service. */
export function pathScene(scene: Scene, policy: Readonly<Record<string, unknown>>): Promise<TestSidecar> {
  return scene.sidecar({
    policy,
    upstream: (request, response) => response.end(`${request.method} ${request.url}`),
  });
}

/** Sends a target byte for byte. */
export async function ask(
  { port }: TestSidecar,
  method: string,
  target: string,
  fields: readonly string[] = [],
): Promise<Asked> {
  const client = await connectRaw(port);
  client.send(requestText(method, target, ["Connection: close", ...fields]));
  // A HEAD's answer announces a body that does not come.
  const head = await client.until((received) => received.includes("\r\n\r\n"));
  const status = Number(head.split(" ", 2)[1]);
  const body = method === "HEAD" ? "" : (await client.answer()).body;
  client.end();
  return { status, body };
}

export const withKey = [`X-Api-Key: ${goodKey}`];
