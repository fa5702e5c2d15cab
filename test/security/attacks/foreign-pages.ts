// Pages of other origins that act with the user's session.
import assert from "node:assert/strict";
import type { Attack } from "../attack.ts";
import { cookieOf, guardedBy, loggedIn, loginAt, openShop, provider, shop } from "../login-site.ts";

const upgrade = ["Connection", "Upgrade", "Upgrade", "websocket"];

const acts: Attack = {
  row: "Z4",
  what: "another site's page sends a POST, or opens a WebSocket, with the user's session",
  async run(scene) {
    const at = await provider(scene);
    const login = loginAt(at, { allowedOrigins: ["https://admin.example"] });
    const site = await openShop(scene, { policy: guardedBy(login) });
    site.sidecar.service?.on("upgrade", (_request, socket) =>
      socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    );
    const cookie = ["Cookie", cookieOf(await loggedIn(site))];
    const ask = async (method: string, fields: readonly string[]): Promise<number> =>
      (await site.ask({ method, fields: [...cookie, ...fields] })).status;
    const foreign = [
      ["Origin", "https://evil.example"],
      ["Origin", "null"],
      ["Origin", `${shop}.evil.example`],
      ["Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"],
      ["Origin", shop, "Origin", "https://evil.example"],
      ["Sec-Fetch-Site", "cross-site"],
      ["Sec-Fetch-Site", "same-site"],
      [],
    ];
    for (const fields of foreign) {
      for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
        assert.equal(await ask(method, fields), 403, `${method} ${fields.join(" ")}`);
      assert.equal(await ask("GET", [...fields, ...upgrade]), 403, `upgrade ${fields.join(" ")}`);
      assert.equal(await ask("GET", fields), 200, fields.join(" "));
    }
    const own = [
      ["Origin", shop],
      ["Origin", "https://admin.example"],
      ["Sec-Fetch-Site", "same-origin"],
      ["Origin", "null", "Sec-Fetch-Site", "same-origin"],
    ];
    for (const fields of own) {
      assert.equal(await ask("POST", fields), 200, fields.join(" "));
      assert.equal(await ask("GET", [...fields, ...upgrade]), 101, fields.join(" "));
    }
  },
};

const logsOut: Attack = {
  row: "Z6",
  what: "a sibling host's page logs the user out by a link",
  async run(scene) {
    const at = await provider(scene);
    const site = await openShop(scene, { policy: guardedBy(loginAt(at)) });
    const fields = ["Cookie", cookieOf(await loggedIn(site))];
    const link = ["Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"];
    const path = "/oauth2/logout";
    const answer = await site.ask({ path, fields: [...fields, ...link, "Sec-Fetch-User", "?1"] });
    assert.deepEqual([answer.status, answer.answerFields.has("set-cookie")], [200, false]);
    assert.match(answer.body, /<form method="post">/);
    const posted = [...fields, "Origin", "http://sibling.127.0.0.1:1"];
    assert.equal((await site.ask({ path, method: "POST", fields: posted })).status, 403);
    assert.equal((await site.ask({ fields })).status, 200);
    const own = [...fields, "Origin", shop];
    assert.equal((await site.ask({ path, method: "POST", fields: own })).status, 303);
    assert.equal((await site.ask({ fields })).status, 401);
  },
};

export const attacks: readonly Attack[] = [acts, logsOut];
