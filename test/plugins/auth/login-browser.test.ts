// The login as a user sees it: Chromium, a real provider with a sign-in page, a real sidecar.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, beforeEach, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { freePort } from "../../support/redis.ts";
import { startSidecar, type TestSidecar } from "../../support/sidecar.ts";
import { clientId, clientSecret, startOpenIdProvider, type OpenIdProvider } from "./openid-provider.ts";

let browser: Browser;
let page: Page;
let provider: OpenIdProvider;
let sidecar: TestSidecar;
let app: string;

before(async () => {
  const port = await freePort();
  app = `http://localhost:${port}`;
  provider = await startOpenIdProvider({ appUrl: app, asksName: true });
  const login = { issuer: provider.url, clientId, clientSecret: "SECRET_SHOP", publicUrl: app };
  sidecar = await startSidecar({
    policy: { plugins: ["logging", "auth", "transform"], pluginConfig: { auth: { jwt: { login } } } },
    upstream: (request, response) => {
      response.setHeader("content-type", "text/html");
      response.end(
        `<title>shop</title>${request.url} for ${String(request.headers["x-user-id"])}, cookie ${request.headers.cookie ?? "none"}`,
      );
    },
    env: {
      OUTRIGGER_LISTEN: `127.0.0.1:${port}`,
      OUTRIGGER_SESSION_KEYS: randomBytes(32).toString("base64url"),
      OUTRIGGER_SECRET_SHOP: clientSecret,
    },
  });
  browser = await chromium.launch({
    executablePath: process.env["OUTRIGGER_TEST_CHROMIUM"] ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--no-first-run",
      "--disable-background-networking",
    ],
  });
  page = await (await browser.newContext()).newPage();
});
after(async () => {
  await browser?.close();
  await sidecar?.stop();
  provider?.close();
});

const text = async (): Promise<string> => (await page.textContent("body")) ?? "";

const signIn = async (): Promise<void> => {
  await page.goto(`${app}/orders`);
  assert.equal(await page.title(), "Sign in");
  await page.fill("input[name=user]", "grace");
  await page.click("button");
  await page.waitForURL(`${app}/orders`);
};

beforeEach(() => page.context().clearCookies());

test("a page asked for leads to the sign-in and back, with Secure __Host- cookies that scripts cannot read", async () => {
  await page.goto(`${app}/orders/7?tab=2`);
  assert.equal(await page.title(), "Sign in");
  await page.fill("input[name=user]", "grace");
  await page.click("button");
  await page.waitForURL(`${app}/orders/7?tab=2`);
  assert.equal(await text(), "/orders/7?tab=2 for grace, cookie none");
  const cookies = (await page.context().cookies(app)).map(({ name, httpOnly, secure, sameSite }) => ({
    name,
    httpOnly,
    secure,
    sameSite,
  }));
  assert.deepEqual(cookies, [{ name: "__Host-outrigger.0", httpOnly: true, secure: true, sameSite: "Lax" }]);
  assert.equal(await page.evaluate("document.cookie"), "");
});

test("a script's request is served with the session, and is 401 and no redirect without it", async () => {
  await signIn();
  const ask = "fetch('/data').then((response) => response.status)";
  assert.equal(await page.evaluate(ask), 200);
  const [session] = await page.context().cookies(app);
  await page.context().clearCookies({ name: "__Host-outrigger.0" });
  assert.equal(await page.evaluate(ask), 401);
  await page.context().addCookies(session === undefined ? [] : [session]);
  assert.equal(await page.evaluate(ask), 200);
});

/** The provider has a question of its own. */
const confirm = async (): Promise<void> => {
  await page.waitForURL((url) => url.origin === provider.url || url.pathname === "/");
  const button = page.locator("button", { hasText: "Yes" });
  if (await button.isVisible()) await button.click();
  await page.waitForURL((url) => url.pathname.startsWith("/interaction/") || url.origin === app);
};

test("the logout's address asks first; after it the next page asks for a sign-in", async () => {
  await signIn();
  await page.goto(`${app}/oauth2/logout`);
  assert.equal(await page.title(), "Log out");
  await page.click("button");
  await confirm();
  await signIn();
});

test("a click on the application's own link logs out at once", async () => {
  await signIn();
  await page.setContent("<a href='/oauth2/logout'>Log out</a>");
  await page.click("a");
  await confirm();
  await page.goto(`${app}/orders`);
  assert.equal(await page.title(), "Sign in");
});

test("a POST of the application's own page is served with the session", async () => {
  await signIn();
  const post = "fetch('/data', { method: 'POST' }).then((response) => response.status)";
  assert.equal(await page.evaluate(post), 200);
  const hidden =
    "fetch('/data', { method: 'POST', referrerPolicy: 'no-referrer' }).then((response) => response.status)";
  assert.equal(await page.evaluate(hidden), 200);
});

test("eight tabs restored after the session ended all end at their pages", async () => {
  await signIn();
  const context = page.context();
  await context.clearCookies({ name: /^__(?:Host|Secure)-outrigger/ });
  const tabs = await Promise.all(Array.from({ length: 8 }, () => context.newPage()));
  await Promise.all(
    tabs.map(async (tab, i) => {
      const address = `${app}/board/${i}?tab=${"q".repeat(i * 30)}`;
      await tab.goto(address);
      await tab.waitForURL(address, { timeout: 10_000 });
    }),
  );
  const left = (await context.cookies(`${app}/oauth2/callback`)).map(({ name }) => name);
  assert.deepEqual(
    left.filter((name) => name.includes(".flow.")),
    [],
  );
});
