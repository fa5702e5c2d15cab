// Bearer tokens outside of the Authorization field, and issuers with many tenants.
import assert from "node:assert/strict";
import { once } from "node:events";
import { hash } from "node:crypto";
import http from "node:http";
import type { Duplex } from "node:stream";
import type { TokenIssuer } from "../../plugins/auth/token-issuer.ts";
import type { TestSidecar } from "../../support/sidecar.ts";
import type { Attack } from "../attack.ts";
import { endpointIn, guarded, issuerIn, statusWith } from "../token-scene.ts";

type Scene = Parameters<Attack["run"]>[0];

/** A WebSocket service that selects `chat` if it is offered, and records the heads it receives. */
function echoService(): { server: http.Server; heads: string[] } {
  const heads: string[] = [];
  const server = http.createServer((request, response) => {
    heads.push(`${request.url} ${request.rawHeaders.join(" ")}`);
    response.setHeader("cache-control", "max-age=60").end("page");
  });
  server.on("upgrade", (request: http.IncomingMessage, socket: Duplex) => {
    heads.push(`${request.url} ${request.rawHeaders.join(" ")}`);
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const offered = request.headers["sec-websocket-protocol"] ?? "";
    const chosen = /\bchat\b/.test(offered) ? "\r\nSec-WebSocket-Protocol: chat" : "";
    socket.on("error", () => undefined);
    socket.on("data", () => socket.end());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${hash("sha1", key, "base64")}${chosen}\r\n\r\n`,
    );
  });
  return { server, heads };
}

const secretKey = "a-key-that-is-long-enough-0123456789";
const apiKey = { sha256: hash("sha256", secretKey), id: "k1", userId: "u2" };

interface Stage {
  readonly issuer: TokenIssuer;
  readonly sidecar: TestSidecar;
  readonly heads: string[];
}

async function stage(scene: Scene, from: readonly string[]): Promise<Stage> {
  const issuer = await issuerIn(scene);
  const { server, heads } = echoService();
  const address = await new Promise<string>((resolve) =>
    server.listen(0, "127.0.0.1", () =>
      resolve(`http://127.0.0.1:${(server.address() as { port: number }).port}`),
    ),
  );
  scene.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const issuers = [{ issuer: issuer.url, jwksUri: issuer.jwksUri }];
  const sidecar = await scene.sidecar({
    policy: {
      plugins: ["logging", "auth", "cache"],
      pluginConfig: {
        logging: { query: true, headers: ["sec-websocket-protocol", "cookie", "referer"] },
        auth: { guessing: false, jwt: { issuers, from }, apiKeys: { query: ["key"], keys: [apiKey] } },
        cache: { ttlSeconds: 60, scope: "identity" },
      },
      routes: [{ path: "/app/*" }, { path: "/open/*", plugins: ["logging"] }],
    },
    upstream: address,
  });
  return { issuer, sidecar, heads };
}

/** @returns the subprotocol that a browser's WebSocket negotiates, or "failed" */
async function connect(url: string, protocols: string[]): Promise<string> {
  const socket = new WebSocket(url, protocols);
  const opened = await Promise.race([
    once(socket, "open").then(() => true),
    once(socket, "error").then(() => false),
  ]);
  const { protocol } = socket;
  socket.close();
  return opened ? protocol : "failed";
}

const inQuery: Attack = {
  row: "Z34",
  what: "a token in the query reads on in the log, at the service or in the cache, or counts where it is not taken",
  async run(scene) {
    const { issuer, sidecar, heads } = await stage(scene, ["header", "query:ticket"]);
    const token = await issuer.sign();
    const [, , signature = ""] = token.split(".");
    const ask = async (target: string, fields: Record<string, string> = {}): Promise<number> => {
      const response = await fetch(sidecar.url + target, { headers: fields });
      await response.arrayBuffer();
      return response.status;
    };
    assert.equal(await ask(`/app/x?a=%20b&ticket=${token}&c`), 200);
    assert.equal(await ask(`/app/x?a=%20b&c&tic%6bet=${token}`), 200, "from the cache");
    assert.deepEqual(
      heads.map((head) => head.split(" ")[0]),
      ["/app/x?a=%20b&c"],
    );
    assert.equal(await connect(`${sidecar.url.replace("http", "ws")}/app/ws?ticket=${token}`, []), "");
    assert.equal(await ask(`/app/x?key=${secretKey}`), 200);
    assert.equal(heads.at(-1)?.split(" ")[0], "/app/x", "an API key is taken out likewise");
    const referer = `http://shop.example/app/?ticket=${token}&tab=2`;
    assert.equal(await ask(`/app/y?ticket=${token}`, { referer }), 200);
    assert.match(heads.at(-1) ?? "", /referer http:\/\/shop\.example\/app\/\?tab=2(?: |$)/i);
    assert.equal(await ask("/open/style.css", { referer }), 200);
    assert.match(heads.at(-1) ?? "", /app\/\?tab=2(?: |$)/, "on a route without auth");
    const refusals = [
      [`/app/x?ticket=${token}&ticket=${token}`, {}],
      [`/app/x?ticket=${token}`, { authorization: `Bearer ${token}` }],
      [`/app/x?ticket=${token}%ZZ`, {}],
      [`/app/x?access_token=${token}`, {}],
      [`/app/x?ticket=;b=1;ticket=${token}`, {}],
    ] as const;
    for (const [target, fields] of refusals) assert.equal(await ask(target, fields), 401, target);
    assert.equal(await ask(`/elsewhere?ticket=${token}`), 404);
    await sidecar.line(({ path }) => path === "/elsewhere");
    assert.equal(JSON.stringify(sidecar.lines).includes(signature), false, "logged");
    assert.equal(JSON.stringify(sidecar.lines).includes(secretKey), false, "key logged");
    assert.equal(JSON.stringify(heads).includes(signature), false, "forwarded");
    assert.equal((await sidecar.metrics()).includes(signature), false, "in metrics");
  },
};

const asSubprotocol: Attack = {
  row: "Z34",
  what: "a token among WebSocket subprotocols reaches the service or the log, or breaks the handshake",
  async run(scene) {
    const { issuer, sidecar, heads } = await stage(scene, ["subprotocol:bearer"]);
    const token = await issuer.sign();
    const [, , signature = ""] = token.split(".");
    const url = `${sidecar.url.replace("http", "ws")}/app/ws`;
    assert.equal(await connect(url, ["chat", `bearer.${token}`]), "chat");
    assert.equal(
      await connect(url, [`bearer.${token}`, "other", "bearer"]),
      "bearer",
      "the service chose none",
    );
    assert.equal(await connect(url, ["bearer", `bearer.${token}`]), "bearer");
    assert.match(heads[0] ?? "", /Sec-WebSocket-Protocol chat(?: |$)/i);
    assert.match(heads[1] ?? "", /Sec-WebSocket-Protocol other(?: |$)/i);
    assert.doesNotMatch(heads[2] ?? "", /Sec-WebSocket-Protocol/i);
    assert.equal(await connect(url, ["bearer", `bearer.${token.slice(0, -9)}`]), "failed");
    assert.equal(await connect(url, ["bearer"]), "failed");
    assert.equal(await connect(url, [`bearer.${token}`, `bearer.${token}x`]), "failed", "two tokens");
    assert.equal(await statusWith(sidecar, token, "/app/x"), 401, "not taken in Authorization");
    assert.equal(JSON.stringify(sidecar.lines).includes(signature), false, "logged");
    assert.equal(JSON.stringify(heads).includes(signature), false, "forwarded");
  },
};

/** @returns the status of a request with these fields; `fetch` would add fields of its own */
function send(sidecar: TestSidecar, method: string, fields: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = ["Host", "shop.example", ...fields];
    const request = http.request({ port: sidecar.port, path: "/app/x", method, headers, agent: false });
    request.on("response", (response) => {
      response.resume().on("end", () => resolve(response.statusCode ?? 0));
    });
    request.on("upgrade", (_response, socket) => {
      socket.destroy();
      resolve(101);
    });
    request.on("error", reject).end();
  });
}

const inCookie: Attack = {
  row: "Z34",
  what: "another site's page acts with a token cookie, or the service gets to see it",
  async run(scene) {
    const { issuer, sidecar, heads } = await stage(scene, ["header", "cookie:tok"]);
    const token = await issuer.sign();
    const cookie = ["Cookie", `a=1; tok=${token}; tok2=b`];
    const upgrade = ["Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Key", "x"];
    assert.equal(await send(sidecar, "GET", cookie), 200);
    assert.match(heads[0] ?? "", /Cookie a=1; tok2=b(?: |$)/);
    for (const fields of [
      ["Origin", "http://evil.example"],
      ["Origin", "https://shop.example"],
      ["Sec-Fetch-Site", "same-site"],
      [],
    ]) {
      assert.equal(await send(sidecar, "POST", [...cookie, ...fields]), 403, fields.join(" "));
      assert.equal(await send(sidecar, "GET", [...cookie, ...fields, ...upgrade]), 403, fields.join(" "));
    }
    const line = await sidecar.line(({ status }) => status === 403);
    assert.match(String(line["refusedBecause"]), /^token cookie: not from the own origin/);
    for (const fields of [
      ["Origin", "http://shop.example"],
      ["Sec-Fetch-Site", "same-origin"],
    ]) {
      assert.equal(await send(sidecar, "POST", [...cookie, ...fields]), 200, fields.join(" "));
      assert.equal(await send(sidecar, "GET", [...cookie, ...fields, ...upgrade]), 101, fields.join(" "));
    }
    const bearer = ["Authorization", `Bearer ${token}`];
    const foreign = ["Origin", "http://evil.example"];
    assert.equal(
      await send(sidecar, "POST", [...bearer, ...foreign, "Cookie", "tok=junk"]),
      200,
      "shown on purpose",
    );
    assert.equal(await send(sidecar, "GET", ["Cookie", `tok=${token}; tok=${token}`]), 401);
    assert.equal(await send(sidecar, "GET", ["Cookie", `access_token=${token}`]), 401);
    assert.equal(JSON.stringify(heads).includes(token.slice(-20)), false, "forwarded");
  },
};

const tenants: Attack = {
  row: "Z34",
  what: "a tenant that is not on the allow-list gets in by the issuer template, or makes the sidecar ask for its keys",
  async run(scene) {
    const issuer = await issuerIn(scene);
    const asked: string[] = [];
    const host = await endpointIn(scene, (request, response) => {
      asked.push(request.url ?? "");
      response.end(issuer.jwks());
    });
    const template = { issuer: `${host.url}/{tenant}/v2.0`, jwksUri: `${host.url}/{tenant}/keys` };
    const sidecar = await guarded(scene, {
      guessing: false,
      jwt: { issuers: [{ ...template, tenants: ["contoso", "fabrikam"], claims: { userId: "sub" } }] },
    });
    const as = async (path: string): Promise<number> =>
      statusWith(sidecar, await issuer.sign({ iss: `${host.url}/${path}` }));
    assert.deepEqual(asked, []);
    assert.deepEqual(
      [await as("contoso/v2.0"), await as("contoso/v2.0"), await as("fabrikam/v2.0")],
      [200, 200, 200],
    );
    for (const path of [
      "evil/v2.0",
      "{tenant}/v2.0",
      "contoso/v2.0/",
      "contoso/../fabrikam/v2.0",
      "Contoso/v2.0",
    ]) {
      assert.equal(await as(path), 401, path);
    }
    assert.deepEqual(asked, ["/contoso/keys", "/fabrikam/keys"]);
  },
};

export const attacks: readonly Attack[] = [inQuery, asSubprotocol, inCookie, tenants];
