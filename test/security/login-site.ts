// A shop behind a browser login, for attacks on sessions: a real provider, a real sidecar, and browsers.
import { randomBytes } from "node:crypto";
import http from "node:http";
import type { Clock } from "../../src/plugin-api/contract.ts";
import { Fields } from "../../src/plugin-api/contract.ts";
import { Browser, type Site } from "../plugins/auth/browser.ts";
import type { Ask } from "../plugins/auth/harness.ts";
import {
  clientId,
  clientSecret,
  startOpenIdProvider,
  type OpenIdProvider,
  type ProviderOptions,
} from "../plugins/auth/openid-provider.ts";
import type { Scene } from "../support/scene.ts";
import type { TestSidecar } from "../support/sidecar.ts";

/** The shop's origin as browsers see it. */
export const shop = "http://127.0.0.1:1";
export const keys = randomBytes(32).toString("base64url");

export interface ShopAnswer {
  readonly status: number;
  readonly answerFields: Fields;
  readonly body: string;
  /** The request's fields as the service received them; undefined = the request did not reach it. */
  readonly seen: http.IncomingHttpHeaders | undefined;
}

export interface Shop extends Site<ShopAnswer> {
  readonly sidecar: TestSidecar;
}

export async function provider(
  scene: Scene,
  options: Partial<ProviderOptions> = {},
): Promise<OpenIdProvider> {
  const started = await startOpenIdProvider({ appUrl: shop, ...options });
  scene.after(() => started.close());
  return started;
}

/** @returns options of a login at that provider */
export function loginAt(at: Pick<OpenIdProvider, "url">, more: object = {}): object {
  return {
    issuer: at.url,
    clientId,
    clientSecret: "SECRET_SHOP",
    publicUrl: shop,
    cookieName: "app",
    secureCookie: false,
    ...more,
  };
}

export interface ShopOptions {
  readonly policy: Readonly<Record<string, unknown>>;
  readonly redisUrl?: string;
  readonly clock?: Clock;
  readonly env?: Readonly<Record<string, string>>;
  /** The service's handler; by default it answers with a page. */
  readonly answer?: http.RequestListener;
}

export async function openShop(scene: Scene, options: ShopOptions): Promise<Shop> {
  let seen: http.IncomingHttpHeaders | undefined;
  const { policy, redisUrl, clock, env, answer } = options;
  const sidecar = await scene.sidecar({
    policy: { plugins: ["logging", "auth", "transform"], ...policy },
    upstream: (request, response) => {
      seen = request.headers;
      if (answer === undefined) response.end("a page");
      else answer(request, response);
    },
    env: { OUTRIGGER_SESSION_KEYS: keys, OUTRIGGER_SECRET_SHOP: clientSecret, ...env },
    ...(redisUrl !== undefined && { redisUrl }),
    ...(clock !== undefined && { clock }),
  });
  return {
    sidecar,
    async ask(ask) {
      seen = undefined;
      const answered = await send(sidecar.port, ask);
      return { ...answered, seen };
    },
  };
}

/** @returns a policy with one route for everything, behind a login */
export function guardedBy(login: object, more: object = {}): ShopOptions["policy"] {
  return { pluginConfig: { auth: { guessing: false, jwt: { login }, ...more } } };
}

export async function loggedIn(at: Shop, page = "/"): Promise<Browser> {
  const browser = new Browser(shop);
  const answer = await browser.follow(at, page);
  if (answer.status !== 200) throw new Error(`the login ended with ${answer.status}: ${answer.body}`);
  return browser;
}

/** The browser's cookies as one field value. */
export function cookieOf(browser: Browser): string {
  return [...browser.cookies()].map((pair) => pair.join("=")).join("; ");
}

/** Sends a request with node:http: `fetch` sets some browser fields itself, and refuses others. */
function send(port: number, ask: Ask): Promise<Omit<ShopAnswer, "seen">> {
  const { method = "GET", path = "/", query = "", fields = [] } = ask;
  return new Promise((resolve, reject) => {
    const headers = ["Host", "shop.example", ...fields];
    const request = http.request({ port, method, path: path + query, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () =>
        resolve({
          status: response.statusCode ?? 0,
          answerFields: new Fields(response.rawHeaders),
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve({ status: 101, answerFields: new Fields(response.rawHeaders), body: "" });
    });
    request.on("error", reject);
    request.end();
  });
}
