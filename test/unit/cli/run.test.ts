// The life of the process around a sidecar: signals, a stop that hangs, uncaught errors.
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { FaultJudge } from "../../../src/cli/faults.ts";
import { bind } from "../../../src/config/start-error.ts";
import { mainFile, outriggerProcess, startNode } from "../../support/process.ts";

/** Starts `run` in a process of its own, around a sidecar whose parts the text gives. It says "up" once it serves. */
function startRun(parts: string, env: Readonly<Record<string, string>> = {}) {
  const source = `
    import { createServer } from "node:http";
    import { run } from ${JSON.stringify(new URL("../../../src/cli/run.ts", import.meta.url).href)};
    const say = (text) => process.stdout.write(text + "\\n");
    const start = async (config) => {
      const server = createServer((request, response) => response.end());
      await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
      setImmediate(() => say("up"));
      return {
        stop: async () => { say("stopping"); server.close(); },
        reportFault: (kind, error) => say(kind + ": " + error?.message + " " + /at .*:\\d+/.test(error?.stack)),
        ...(await (async () => { ${parts} })()),
      };
    };
    process.exit(await run(process.env, start));`;
  return startNode(["--input-type=module", "-e", source], env);
}

describe("a running sidecar", () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`stops in order on ${signal} and exits 0`, async () => {
      const { child, said, end } = startRun("");
      await said("up");
      child.kill(signal);
      const { code, stdout, stderr } = await end;
      assert.deepEqual([code, stdout, stderr], [0, "up\nstopping\n", ""]);
    });
  }

  it("ends at once on a second signal, with the code of that signal", async () => {
    const { child, said, end } = startRun(
      "return { stop: () => { say('stopping'); return new Promise(() => {}); } };",
    );
    await said("up");
    child.kill("SIGTERM");
    await said("stopping");
    child.kill("SIGINT");
    assert.equal((await end).code, 130);
  });

  it("that is told to stop while it starts stops once it has started", async () => {
    const { child, said, end } = startRun(
      "say('starting'); await new Promise((resolve) => process.once('SIGTERM', resolve)); return {};",
    );
    await said("starting");
    child.kill("SIGTERM");
    const { code, stdout } = await end;
    assert.equal(code, 0);
    assert.match(stdout, /stopping/);
  });

  it("exits 1 when its stop fails", async () => {
    const { child, said, end } = startRun("return { stop: async () => { throw new Error('stuck'); } };");
    await said("up");
    child.kill("SIGTERM");
    const { code, stderr } = await end;
    assert.equal(code, 1);
    assert.match(stderr, /stopping failed: Error: stuck/);
  });

  it("exits 1 when its stop takes longer than the drain and a grace", { timeout: 15_000 }, async () => {
    const { child, said, end } = startRun("return { stop: () => new Promise(() => {}) };", {
      OUTRIGGER_DRAIN_MS: "0",
    });
    await said("up");
    child.kill("SIGTERM");
    const { code, stderr } = await end;
    assert.equal(code, 1);
    assert.match(stderr, /not stopped after 5000 ms/);
  });

  it("reports faults that nobody caught with a stack, and goes on", async () => {
    const { child, said, end } = startRun(`
      setImmediate(() => { throw new Error("one"); });
      setImmediate(() => void Promise.reject(new Error("two")));
      return {};`);
    await said("uncaughtException: one true");
    await said("unhandledRejection: two true");
    child.kill("SIGTERM");
    assert.equal((await end).code, 0);
  });

  it("drains and exits 1 when exceptions come in a burst", async () => {
    const { end } = startRun(`
      for (let i = 0; i < 11; i++) setImmediate(() => { throw new Error("fault " + i); });
      return {};`);
    const { code, stdout } = await end;
    assert.equal(code, 1);
    assert.match(stdout, /fault 10[^]*stopping/);
  });

  it("that cannot start exits 1 and says why on stderr", async () => {
    const { end } = startRun("throw new Error('address taken');");
    const { code, stderr } = await end;
    assert.equal(code, 1);
    assert.match(stderr, /cannot start: Error: address taken/);
  });

  it("that finds a setting at fault while it starts exits 2 with the problems alone", async () => {
    const config = JSON.stringify(new URL("../../../src/config/config.ts", import.meta.url).href);
    const { end } = startRun(`
      const { ConfigError } = await import(${config});
      throw new ConfigError(["OUTRIGGER_POLICY_KEYS: key 0 cannot be used", "B: x"]);`);
    const { code, stderr } = await end;
    assert.deepEqual([code, stderr], [2, "OUTRIGGER_POLICY_KEYS: key 0 cannot be used\nB: x\n"]);
  });
});

describe("outrigger run", () => {
  const env = {
    OUTRIGGER_LISTEN: "127.0.0.1:0",
    OUTRIGGER_ADMIN: "127.0.0.1:0",
    OUTRIGGER_UPSTREAM: "unix:/nowhere",
  };

  it("serves with nothing but the environment, warns of the built-in policy, and drains on SIGTERM", async () => {
    const { child, said, end } = startNode([mainFile], env);
    const line = (await said('"msg":"listening"')).trimEnd().split("\n").at(-1) ?? "";
    const { address, admin } = JSON.parse(line) as { address: string; admin: string };
    assert.equal((await fetch(`http://${admin}/readyz`)).status, 200);
    assert.equal((await fetch(`http://${address}/`)).status, 502);
    child.kill("SIGTERM");
    const { code, stdout, stderr } = await end;
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /built-in policy/);
    assert.match(stdout, /"msg":"request"/, "the access log is flushed");
  });

  it("says at start that nothing can be kept in OUTRIGGER_STATE_DIR, and serves and ends all the same", async () => {
    const { child, said, end } = startNode([mainFile], { ...env, OUTRIGGER_STATE_DIR: "/proc/x/y" });
    const text = await said(
      "OUTRIGGER_STATE_DIR: /proc/x/y cannot be written: no policy is saved for a restart",
    );
    assert.match(text, /"reason":"E[A-Z]+"/);
    await said('"msg":"listening"');
    child.kill("SIGTERM");
    assert.equal((await end).code, 0);
  });

  it("without its policy file says which one it waits for", async () => {
    const { child, said, end } = startNode([mainFile], { ...env, OUTRIGGER_POLICY_FILE: "/nope" });
    await said('"msg":"OUTRIGGER_POLICY_FILE: /nope does not exist; not ready until it does"');
    child.kill("SIGTERM");
    assert.equal((await end).code, 0);
  });

  it("while Redis is out of reach at the start waits until it can be read, and says so", async () => {
    const { child, said, end } = startNode([mainFile], { ...env, REDIS_URL: "redis://127.0.0.1:1" });
    await said('Redis is out of reach; not ready until it can be"');
    child.kill("SIGTERM");
    assert.equal((await end).code, 0);
  });

  it("exits 1 when an address is taken, and says which", async (t) => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    t.after(() => server.close());
    const taken = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    for (const name of ["OUTRIGGER_LISTEN", "OUTRIGGER_ADMIN"]) {
      const { code, stdout, stderr } = await outriggerProcess(["run"], { ...env, [name]: taken });
      assert.deepEqual([code, stderr], [1, `${name}: ${taken} is in use\n`]);
      assert.doesNotMatch(stdout, /EADDRINUSE/);
    }
  });
});

describe("an address that cannot be bound", () => {
  it("is told in one line, with the setting and what is wrong", async () => {
    const nowhere = (): Promise<never> => {
      const { promise, reject } = Promise.withResolvers<never>();
      createServer().on("error", reject).listen("/no/such/folder/socket");
      return promise;
    };
    const path = { path: "/no/such/folder/socket" };
    const said =
      /^OUTRIGGER_LISTEN: unix:\/no\/such\/folder\/socket cannot be made: its folder does not exist/;
    await assert.rejects(bind("OUTRIGGER_LISTEN", path, nowhere), { name: "StartError", message: said });
    const refused = (code: string) => () => Promise.reject(Object.assign(new Error("x"), { code }));
    await assert.rejects(bind("OUTRIGGER_ADMIN", { host: "::1", port: 80 }, refused("EACCES")), {
      message: "OUTRIGGER_ADMIN: [::1]:80 may not be bound by this user (EACCES): choose a port from 1024",
    });
    const fault = new TypeError("a fault of ours");
    await assert.rejects(
      bind("OUTRIGGER_LISTEN", path, () => Promise.reject(fault)),
      fault,
    );
  });
});

describe("a fault", () => {
  it("is fatal when it is the eleventh exception within a minute, or Node's own", () => {
    const judge = new FaultJudge();
    for (let i = 0; i < 10; i++) assert.equal(judge.isFatal("uncaughtException", new Error("x"), i), false);
    for (let i = 0; i < 50; i++) assert.equal(judge.isFatal("unhandledRejection", new Error("x"), 10), false);
    assert.equal(
      judge.isFatal("uncaughtException", new Error("x"), 60_001),
      false,
      "the first two are forgotten",
    );
    assert.equal(judge.isFatal("uncaughtException", "no error", 60_001), false);
    assert.equal(judge.isFatal("uncaughtException", new Error("x"), 60_001), true);
    const internal = Object.assign(new Error("x"), { code: "ERR_INTERNAL_ASSERTION" });
    assert.equal(new FaultJudge().isFatal("uncaughtException", internal, 0), true);
  });
});
