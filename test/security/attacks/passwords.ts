// Passwords: guesses at one user from many addresses or all at once, and floods of password checks that keep other
// users out.
import assert from "node:assert/strict";
import { argon2Sync } from "node:crypto";
import type { Attack } from "../attack.ts";
import type { TestSidecar } from "../../support/sidecar.ts";

const salt = Buffer.alloc(16, 7);
const cheap = { parallelism: 1, tagLength: 32, memory: 7_168, passes: 1 };
const part = (bytes: Buffer): string => bytes.toString("base64").replaceAll("=", "");
const line = (user: string, password: string, passes = 1): string => {
  const tag = argon2Sync("argon2id", { ...cheap, passes, message: password, nonce: salt });
  return `${user}:$argon2id$v=19$m=7168,t=${passes},p=1$${part(salt)}$${part(tag)}`;
};

async function statusOf(sidecar: TestSidecar, user: string, password: string, from: string): Promise<number> {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  const response = await fetch(sidecar.url, { headers: { authorization, "x-forwarded-for": from } });
  await response.arrayBuffer();
  return response.status;
}

const manyAddresses: Attack = {
  row: "Z75",
  what: "guesses one user's password from a new address each time, and goes on once it is told to wait",
  async run(scene) {
    const auth = { apiKeys: false, basic: { users: "SECRET_USERS" }, guessing: { failures: 5 } };
    const sidecar = await scene.sidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth } },
      upstream: (_request, response) => response.end("served"),
      env: {
        OUTRIGGER_SECRET_USERS: `${line("alice", "right")}\n${line("bob", "his")}`,
        OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1",
      },
    });
    for (const user of ["alice", "nobody"]) {
      const statuses: number[] = [];
      for (let i = 0; i < 7; i += 1)
        statuses.push(await statusOf(sidecar, user, `guess ${i}`, `198.51.100.${i}`));
      assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429], user);
    }
    assert.equal(
      await statusOf(sidecar, "alice", "right", "198.51.100.99"),
      429,
      "the right one tells nothing",
    );
    assert.equal(await statusOf(sidecar, "bob", "his", "198.51.100.99"), 200, "others are not shut out");
  },
};

const allAtOnce: Attack = {
  row: "Z75",
  what: "guesses one user's password many times at once, before the first guess is counted",
  async run(scene) {
    const auth = { apiKeys: false, basic: { users: "SECRET_USERS" }, guessing: { failures: 3 } };
    const sidecar = await scene.sidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth } },
      upstream: (_request, response) => response.end("served"),
      env: { OUTRIGGER_SECRET_USERS: line("alice", "right", 10), OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1" },
    });
    const guesses = Array.from({ length: 24 }, (_, i) =>
      statusOf(sidecar, "alice", i === 23 ? "right" : `guess ${i}`, `198.51.100.${i}`),
    );
    const statuses = await Promise.all(guesses);
    assert.equal(statuses.filter((status) => status === 401).length, 3, "so many are looked at");
    // On a busy machine some have waited too long for that.
    const others = statuses.filter((status) => ![401, 429, 503].includes(status));
    assert.deepEqual(others, []);
    assert.ok(statuses.includes(429));
  },
};

const floods: Attack = {
  row: "Z75",
  what: "keeps all checks of passwords busy, from one address and from many, so that nobody else gets in",
  async run(scene) {
    const auth = { apiKeys: false, basic: { users: "SECRET_USERS", cacheSeconds: 0 } };
    const sidecar = await scene.sidecar({
      policy: { plugins: ["auth"], pluginConfig: { auth } },
      upstream: (_request, response) => response.end("served"),
      env: {
        OUTRIGGER_SECRET_USERS: `${line("alice", "right", 10)}\n${line("bob", "his", 10)}`,
        OUTRIGGER_TRUSTED_PROXIES: "127.0.0.1",
      },
    });
    assert.equal(await statusOf(sidecar, "bob", "his", "203.0.113.1"), 200);
    const flood = (from: (i: number) => string) =>
      Array.from({ length: 90 }, (_, i) => statusOf(sidecar, `user ${i}`, "guess", from(i)).catch(() => 0));
    const byOne = flood(() => "198.51.100.1");
    assert.equal(await statusOf(sidecar, "alice", "right", "203.0.113.2"), 200, "not seen before");
    await Promise.all(byOne);
    const byMany = flood((i) => `198.51.100.${i}`);
    assert.equal(await statusOf(sidecar, "bob", "his", "203.0.113.1"), 200, "seen before");
    await Promise.all(byMany);
  },
};

export const attacks: readonly Attack[] = [manyAddresses, allAtOnce, floods];
