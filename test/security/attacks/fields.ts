// Header fields that a service reads differently than the sidecar checks them: overrides of method and path, and names
// with `_`, which CGI and similar interfaces take for `-`.
import assert from "node:assert/strict";
import type { Scene } from "../../support/scene.ts";
import type { Attack } from "../attack.ts";
import { sendRaw, showing, shownOf, valueOf } from "../shown.ts";

const overrides = [
  "X-HTTP-Method-Override: DELETE",
  "X-Method-Override: DELETE",
  "X-HTTP-Method: DELETE",
  "X-Original-URL: /admin",
  "X-Rewrite-URL: /admin",
  "X-Original-URI: /admin",
];
const get = (...fields: readonly string[]): string =>
  `GET /a HTTP/1.1\r\nHost: a.test\r\n${fields.map((line) => `${line}\r\n`).join("")}\r\n`;
const namesOf = (lines: readonly string[]): string[] =>
  lines.map((line) => line.slice(0, line.indexOf(":")).toLowerCase());

const guarded = { plugins: ["auth"], pluginConfig: { auth: { required: false } } };

/** @returns what a poisoned request brings to the service, and what the next request gets from the cache */
async function poison(scene: Scene, env: Readonly<Record<string, string>>): Promise<string> {
  const policy = { plugins: ["cache"], pluginConfig: { cache: { ttlSeconds: 60 } } };
  const { port } = await scene.sidecar({ policy, env, upstream: showing });
  for (const line of ["X_Original_URL: /evil", "X_Host: evil", "X_HTTP_Method_Override: DELETE"])
    await sendRaw(port, get(line));
  const { body } = await sendRaw(port, get());
  return body;
}

export const attacks: readonly Attack[] = [
  {
    row: "Z17",
    what: "method and URL overrides on a guarded route",
    async run(scene) {
      const { port } = await scene.sidecar({ policy: guarded, upstream: showing });
      const { fields } = await shownOf(port, get(...overrides));
      for (const name of namesOf(overrides)) assert.equal(valueOf(fields, name), undefined, name);
    },
  },
  {
    row: "Z17",
    what: "method and URL overrides on an open route, for what another route guards",
    async run(scene) {
      const routes = [{ path: "/a" }, { path: "/a", methods: ["DELETE"], plugins: ["auth"] }];
      const { port } = await scene.sidecar({ policy: { plugins: [], routes }, upstream: showing });
      const { fields } = await shownOf(port, get(...overrides));
      for (const name of namesOf(overrides)) assert.equal(valueOf(fields, name), undefined, name);
      const open = await scene.sidecar({ policy: { plugins: [] }, upstream: showing });
      const shown = await shownOf(open.port, get(...overrides));
      assert.equal(valueOf(shown.fields, "x-http-method-override"), "DELETE", "nobody guards anything");
    },
  },
  {
    row: "Z17",
    what: "overrides beside the one that the settings let through, under another spelling",
    async run(scene) {
      const env = { OUTRIGGER_KEEP_OVERRIDES: "x-method-override", OUTRIGGER_UNDERSCORE_FIELDS: "keep" };
      const { port } = await scene.sidecar({ policy: guarded, env, upstream: showing });
      const { fields } = await shownOf(port, get(...overrides, "X_Original_URL: /admin"));
      assert.equal(valueOf(fields, "x-method-override"), "DELETE");
      assert.equal(valueOf(fields, "x-original-url"), undefined);
      assert.equal(valueOf(fields, "x_original_url"), undefined);
    },
  },
  {
    row: "Z18",
    what: "fields with _ poison a cached answer for others",
    async run(scene) {
      assert.doesNotMatch(await poison(scene, {}), /evil|delete/i);
    },
  },
  {
    row: "Z18",
    what: "the same where fields with _ are kept",
    async run(scene) {
      assert.doesNotMatch(await poison(scene, { OUTRIGGER_UNDERSCORE_FIELDS: "keep" }), /evil|delete/i);
    },
  },
  {
    row: "Z18",
    what: "kept fields with _ name a caller, an address, a hop, a length or a key",
    async run(scene) {
      const env = { OUTRIGGER_UNDERSCORE_FIELDS: "keep" };
      const { port } = await scene.sidecar({ policy: guarded, env, upstream: showing });
      const forged = [
        "X_User_Id: root",
        "X_Forwarded_For: 1.2.3.4",
        "Transfer_Encoding: chunked",
        "Content_Length: 5",
        "Connection: X-Named",
        "X_Named: 1",
        "Fine_Field: 1",
      ];
      const { fields } = await shownOf(port, get(...forged));
      for (const name of namesOf(forged)) {
        const value = valueOf(fields, name);
        if (name === "fine_field") assert.equal(value, "1");
        else if (name !== "connection" && value !== undefined) assert.equal(value, "0", name);
      }
      const { status } = await sendRaw(port, get("X_API_Key: nobody"));
      assert.equal(status, 401);
    },
  },
];
