// A policy with a guarded and an open side, and a service that answers with the request target it received.
import { hash } from "node:crypto";
import type { RequestListener } from "node:http";
import type { Scene } from "../support/scene.ts";
import type { TestSidecar } from "../support/sidecar.ts";
import { connectRaw, requestText } from "../support/raw-http.ts";

export const goodKey = "a-good-key";
export const keys = [{ sha256: hash("sha256", goodKey), id: "k1", userId: "u1", scopes: ["read"] }];

export interface Asked {
  readonly status: number;
  /** The request line that the service received, `GET /target`; or the problem document. */
  readonly body: string;
}

/** Starts a sidecar with this policy in front of such a service. */
export function pathScene(scene: Scene, policy: Readonly<Record<string, unknown>>): Promise<TestSidecar> {
  return scene.sidecar({
    policy,
    upstream: (request, response) => response.end(`${request.method} ${request.url}`),
  });
}

/**
 * Starts a sidecar with a service's layer over a shared policy, both in force; the service answers with the identity it
 * received.
 */
export async function layeredScene(
  scene: Scene,
  shared: object,
  layer: object,
  upstream?: string,
): Promise<TestSidecar> {
  const redis = await scene.redis();
  const text = (policy: object): string => JSON.stringify({ apiVersion: "outrigger/v1", ...policy });
  await redis.cli.set("outrigger:policy", text(shared));
  await redis.cli.set("outrigger:policy:default", text(layer));
  return scene.sidecar({
    redisUrl: redis.url,
    upstream: upstream ?? tells,
  });
}

const tells: RequestListener = ({ method, url, headers }, response) => {
  const { "x-user-id": id, "x-forwarded-user": user, "x-team": team } = headers;
  response.end(`${method} ${url} id=${String(id)} user=${String(user)} team=${String(team)}`);
};

/** Sends a target byte for byte. */
export async function ask(
  { port }: TestSidecar,
  method: string,
  target: string,
  fields: readonly string[] = [],
): Promise<Asked> {
  const client = await connectRaw(port);
  client.send(requestText(method, target, ["Connection: close", ...fields]));
  // The answer to HEAD announces a body that does not come.
  const head = await client.until((received) => received.includes("\r\n\r\n"));
  const status = Number(head.split(" ", 2)[1]);
  const body = method === "HEAD" ? "" : (await client.answer()).body;
  client.end();
  return { status, body };
}

export const withKey = [`X-Api-Key: ${goodKey}`];
