// Shared by attacks on bearer tokens: a sidecar that accepts the tokens of one issuer, and requests that carry one.
import type { Scene } from "../support/scene.ts";
import type { TestSidecar } from "../support/sidecar.ts";
import { TokenIssuer } from "../plugins/auth/token-issuer.ts";
import { EndpointServer } from "../support/endpoint-server.ts";

export async function issuerIn(scene: Scene): Promise<TokenIssuer> {
  const issuer = await TokenIssuer.start();
  scene.after(() => issuer.close());
  return issuer;
}

export async function endpointIn(
  scene: Scene,
  ...handle: ConstructorParameters<typeof EndpointServer>
): Promise<EndpointServer> {
  const endpoint = new EndpointServer(...handle);
  await endpoint.listen();
  scene.after(() => endpoint.close());
  return endpoint;
}

/** Starts a service behind a sidecar whose only route is guarded; it answers 200 with the fields it received. */
export async function guarded(
  scene: Scene,
  auth: object,
  env: Readonly<Record<string, string>> = {},
): Promise<TestSidecar> {
  return await scene.sidecar({
    policy: { plugins: ["logging", "auth", "transform"], pluginConfig: { auth } },
    upstream: (request, response) => response.end(JSON.stringify({ url: request.url, ...request.headers })),
    env,
  });
}

export async function statusWith(sidecar: TestSidecar, token: string, path = "/"): Promise<number> {
  const response = await fetch(sidecar.url + path, { headers: { authorization: `Bearer ${token}` } });
  await response.arrayBuffer();
  return response.status;
}
