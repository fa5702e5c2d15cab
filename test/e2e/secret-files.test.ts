// Secret files that are rewritten while the sidecar serves: the new secrets are used without a restart and without a
// failed request.
import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { type TestContext, test } from "node:test";
import { z } from "zod";
import { definePlugin, type PluginDefinition } from "../../src/plugin-api/contract.ts";
import { startCrew, startService } from "../support/crew.ts";
import { eventually, type RedisServer, startRedis } from "../support/redis.ts";
import { SecretFolder } from "../support/secret-folder.ts";
import { startSidecar } from "../support/sidecar.ts";

const [oldPassword, newPassword] = ["old-pass-4711", "new-pass-4712"];
const policy = { plugins: ["auth"] };

function secretFolder(t: TestContext, held: Readonly<Record<string, string>>): SecretFolder {
  const folder = new SecretFolder(held);
  t.after(() => folder.remove());
  return folder;
}

/** A server with the user `app`, who has both passwords. */
async function redisWithUser(t: TestContext): Promise<RedisServer> {
  const redis = await startRedis();
  t.after(() => redis.close());
  const passwords = [`>${oldPassword}`, `>${newPassword}`];
  await redis.cli.call("ACL", "SETUSER", "app", "on", ...passwords, "~*", "&*", "+@all");
  return redis;
}

function urlFor({ url }: RedisServer, password: string): string {
  return url.replace("//", `//app:${password}@`);
}

function plainRecord(key: string): string {
  return `outrigger:apikey:${createHash("sha256").update(key).digest("hex")}`;
}

async function putKey({ cli }: RedisServer, key: string): Promise<void> {
  await cli.set(plainRecord(key), JSON.stringify({ id: key, userId: key, scopes: [] }));
}

async function statusOf(url: string, fields: Readonly<Record<string, string>>): Promise<number> {
  const answer = await fetch(url, { headers: fields });
  await answer.text();
  return answer.status;
}

/** Requests all the while; `end` resolves with how often each status came. */
function traffic(url: string, fields: Readonly<Record<string, string>>) {
  const over = new AbortController();
  const seen = new Map<number, number>();
  const done = (async () => {
    while (!over.signal.aborted) {
      const status = await statusOf(url, fields);
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
  })();
  done.catch(() => {}); // told by `end`
  return {
    async end() {
      over.abort();
      await done;
      return Object.fromEntries(seen);
    },
  };
}

const taken = (line: Record<string, unknown>): boolean =>
  line["msg"] === "Redis: the new REDIS_URL is in use";

test("a rotated REDIS_URL_FILE: another password, then another host, with no failed request and changes subscribed to", async (t) => {
  const redis = await redisWithUser(t);
  const secrets = secretFolder(t, { REDIS_URL: urlFor(redis, oldPassword) });
  await putKey(redis, "key-a");
  const sidecar = await startSidecar({
    policy,
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  const withKey = { "x-api-key": "key-a" };
  await eventually("the key is known", async () => (await statusOf(sidecar.url, withKey)) === 200);
  const load = traffic(sidecar.url, withKey);
  secrets.write({ REDIS_URL: urlFor(redis, newPassword) });
  await sidecar.line(taken);
  // As whoever rotates does: the old password goes, and with it whoever came by it.
  await redis.cli.call("ACL", "SETUSER", "app", `<${oldPassword}`);
  const before = sidecar.lines.length;
  await putKey(redis, "key-b");
  assert.equal(await statusOf(sidecar.url, { "x-api-key": "key-b" }), 200);
  await redis.cli.del(plainRecord("key-b"));
  await eventually(
    "the change is heard",
    async () => (await statusOf(sidecar.url, { "x-api-key": "key-b" })) === 401,
    1_500,
  );

  const other = await redisWithUser(t);
  await putKey(other, "key-a");
  await putKey(other, "key-c");
  secrets.write({ REDIS_URL: urlFor(other, newPassword) });
  await eventually("the second change is taken", () => sidecar.lines.slice(before).some(taken));
  assert.equal(await statusOf(sidecar.url, { "x-api-key": "key-c" }), 200);
  await redis.kill();
  assert.deepEqual(Object.keys(await load.end()), ["200"]);
  assert.match(await sidecar.metrics(), /^outrigger_redis_up\S* 1$/mu);
  assert.doesNotMatch(JSON.stringify(sidecar.lines), /-pass-/u);
});

test("a wrong REDIS_URL_FILE keeps the old connections and is told once, without the URL; mended, it is taken", async (t) => {
  const redis = await redisWithUser(t);
  const secrets = secretFolder(t, { REDIS_URL: urlFor(redis, oldPassword) });
  await putKey(redis, "key-a");
  const sidecar = await startSidecar({
    policy,
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  const withKey = { "x-api-key": "key-a" };
  await eventually("the key is known", async () => (await statusOf(sidecar.url, withKey)) === 200);
  const load = traffic(sidecar.url, withKey);
  secrets.write({ REDIS_URL: "redis://app:a pass-with-blank@127.0.0.1" });
  const { problems } = await sidecar.line(({ msg }) => String(msg).startsWith("secret file cannot be used"));
  assert.match(String(problems), /^REDIS_URL_FILE: /u);
  secrets.write({ REDIS_URL: urlFor(redis, "wrong-pass-9") });
  const isRefusal = ({ msg }: Record<string, unknown>): boolean =>
    String(msg).startsWith("Redis: the new REDIS_URL does not work");
  assert.equal((await sidecar.line(isRefusal))["reason"], "WRONGPASS");
  await putKey(redis, "key-b");
  assert.equal(await statusOf(sidecar.url, { "x-api-key": "key-b" }), 200);
  secrets.write({ REDIS_URL: urlFor(redis, newPassword) });
  await sidecar.line(taken);
  assert.deepEqual(Object.keys(await load.end()), ["200"]);
  assert.equal(sidecar.lines.filter(isRefusal).length, 1);
  assert.doesNotMatch(JSON.stringify(sidecar.lines), /pass-|app:/u);
});

function storeKey(fill: number): string {
  return Buffer.alloc(32, fill).toString("base64url");
}

function token(secret: string): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "https://issuer.test", sub: "jane", exp: Math.floor(Date.now() / 1000) + 600 };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

const [oldSecret, newSecret] = ["o".repeat(40), "n".repeat(40)];

test("secrets of plugins and the admin token are taken together; what does not fit leaves the old set-up", async (t) => {
  const secrets = secretFolder(t, {
    OUTRIGGER_ADMIN_TOKEN: "admin-token-old-1234",
    OUTRIGGER_SECRET_JWT: oldSecret,
    OUTRIGGER_API_KEY_PEPPER: "old-pepper-0123456789",
  });
  const issuers = [{ issuer: "https://issuer.test", secret: "SECRET_JWT", algorithms: ["HS256"] }];
  const sidecar = await startSidecar({
    policy: { plugins: ["auth"], pluginConfig: { auth: { jwt: { issuers } } } },
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  const bearer = (text: string): Record<string, string> => ({ authorization: `Bearer ${text}` });
  const admin = (text: string): Promise<number> => statusOf(`${sidecar.adminUrl}/policy`, bearer(text));
  assert.equal(await statusOf(sidecar.url, bearer(token(oldSecret))), 200);

  secrets.write({ OUTRIGGER_SECRET_JWT: "short", OUTRIGGER_ADMIN_TOKEN: "admin-token-new-1234" });
  const refusal = await sidecar.line(({ msg }) =>
    String(msg).startsWith("the policy in force cannot be set up"),
  );
  assert.match(String(refusal["reason"]), /OUTRIGGER_SECRET_JWT needs at least 32 bytes/u);
  assert.equal(await statusOf(sidecar.url, bearer(token(oldSecret))), 200);
  assert.deepEqual([await admin("admin-token-old-1234"), await admin("admin-token-new-1234")], [401, 200]);

  secrets.write({ OUTRIGGER_SECRET_JWT: newSecret, OUTRIGGER_API_KEY_PEPPER: "new-pepper-0123456789" });
  const isTaken = ({ msg }: Record<string, unknown>): boolean =>
    String(msg).startsWith("the policy in force uses the new secrets");
  await sidecar.line(isTaken);
  assert.equal(await statusOf(sidecar.url, bearer(token(newSecret))), 200);
  assert.equal(await statusOf(sidecar.url, bearer(token(oldSecret))), 401);
  assert.equal(sidecar.lines.filter(isTaken).length, 1);
  assert.doesNotMatch(JSON.stringify(sidecar.lines), /short|oooo|nnnn|admin-token|pepper-0/u);
});

test("a secret that a plugin brings is taken when it is right, and stays when it is not", async (t) => {
  const secrets = secretFolder(t, { OUTRIGGER_GATE_WORD: "first" });
  const gate = definePlugin({
    name: "gate",
    version: "1.0.0",
    apiVersion: 1,
    priority: 30,
    security: false,
    failMode: "closed",
    options: z.strictObject({}),
    secrets: {
      GATE_WORD: {
        about: "Word that the gate says",
        check: (word) => (word.length < 5 ? "must have 5 characters" : undefined),
      },
    },
    setup: ({ services }) => ({
      onResponse: (_exchange, response) =>
        response.fields.set("X-Word", services.secrets.get("GATE_WORD") ?? "none"),
    }),
  });
  const sidecar = await startSidecar({
    policy: { plugins: ["gate"] },
    plugins: [gate],
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  const says = async (what: string): Promise<boolean> =>
    (await fetch(sidecar.url)).headers.get("x-word") === what;
  assert.equal(await says("first"), true);
  secrets.write({ OUTRIGGER_GATE_WORD: "no" });
  await sidecar.line(({ problems }) => String(problems).startsWith("OUTRIGGER_GATE_WORD_FILE: must have 5"));
  assert.equal(await says("first"), true);
  secrets.write({ OUTRIGGER_GATE_WORD: "second" });
  await eventually("the second word", () => says("second"));
});

test("a policy that comes into force while another secret is being set up gets that secret, too", async (t) => {
  const secrets = secretFolder(t, { OUTRIGGER_SECRET_WORD: "first", OUTRIGGER_STORE_KEYS: storeKey(1) });
  const second = Promise.withResolvers<void>();
  let isAsked = false;
  const seal = { first: undefined as Buffer | undefined, opened: undefined as string | undefined };
  const wordy = definePlugin({
    name: "wordy",
    version: "1.0.0",
    apiVersion: 1,
    priority: 30,
    security: false,
    failMode: "closed",
    needs: { secrets: ["SECRET_WORD"], seals: ["words"] },
    options: z.strictObject({ mark: z.string() }),
    init: (services) => services.seals?.of("words"),
    async setup({ options, services, state }) {
      const word = services.secrets.get("SECRET_WORD");
      if (word === "second") {
        isAsked = true;
        await second.promise;
      }
      return {
        onResponse(_exchange, response) {
          seal.first ??= state?.seal("k", Buffer.from("v"), Date.now() + 60_000);
          seal.opened = state?.open("k", seal.first ?? Buffer.alloc(0), Date.now())?.toString();
          response.fields.set("X-Word", `${word} ${options.mark}`);
        },
      };
    },
  }) as PluginDefinition;
  const policyOf = (mark: string) => ({ plugins: ["wordy"], pluginConfig: { wordy: { mark } } });
  const sidecar = await startSidecar({
    policy: policyOf("a"),
    registry: [wordy],
    env: secrets.env,
    upstream: (_request, response) => void response.end(),
  });
  t.after(() => sidecar.stop());
  const says = async (what: string): Promise<boolean> =>
    (await fetch(sidecar.url)).headers.get("x-word") === what;
  assert.equal(await says("first a"), true);
  assert.equal(seal.opened, "v");
  secrets.write({ OUTRIGGER_SECRET_WORD: "second", OUTRIGGER_STORE_KEYS: storeKey(2) });
  await eventually("the second is set up", () => isAsked);
  sidecar.setPolicy(policyOf("b"));
  await eventually("the new policy serves meanwhile", () => says("first b"));
  second.resolve();
  await eventually("it gets the second secret", () => says("second b"));
  assert.equal(await says("second b"), true);
  // What outlives policies goes over to the new keys with them.
  assert.equal(seal.opened, undefined);
});

test("every worker takes them, and SIGHUP has them read at once", async (t) => {
  const redis = await redisWithUser(t);
  const secrets = secretFolder(t, {
    REDIS_URL: urlFor(redis, oldPassword),
    OUTRIGGER_API_KEY_PEPPER: "old-pepper-0123456789",
  });
  const pepper = "new-pepper-0123456789";
  const digest = createHmac("sha256", pepper).update("key-a").digest("hex");
  const service = await startService((_request, response) => void response.end());
  t.after(() => service.close());
  await redis.cli.set("outrigger:policy", JSON.stringify({ apiVersion: "outrigger/v1", ...policy }));
  await redis.cli.set(`outrigger:apikey:${digest}`, JSON.stringify({ id: "a", userId: "a", scopes: [] }));
  const crew = await startCrew({ upstream: service.url, env: secrets.env, workers: 2 });
  t.after(() => crew.stop());
  assert.equal(await statusOf(crew.url, { "x-api-key": "key-a" }), 401);
  secrets.write({ REDIS_URL: urlFor(redis, newPassword), OUTRIGGER_API_KEY_PEPPER: pepper });
  crew.child.kill("SIGHUP");
  await crew.until(3, taken);
  await crew.until(2, ({ msg }) => String(msg).startsWith("the policy in force uses the new secrets"));
  for (let i = 0; i < 8; i++) assert.equal(await statusOf(crew.url, { "x-api-key": "key-a" }), 200);
});
