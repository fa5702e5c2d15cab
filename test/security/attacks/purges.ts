// One service of a shared gateway attacks the cached answers of its neighbours.
import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { startUpstream } from "../upstream.ts";
import type { Attack } from "../attack.ts";

const members = ["all", "prefix=/", "tag=shared", "url=/good/x", "all;soft"];

export const attacks: readonly Attack[] = [
  {
    row: "Z25",
    what: "a service purges its neighbours' answers by Outrigger-Purge",
    async run(scene) {
      let asked = 0;
      const good = await startUpstream(scene, (_request, response) => {
        asked += 1;
        response.setHeader("Cache-Control", "max-age=60");
        response.setHeader("Cache-Tag", "shared");
        response.end("good");
      });
      const bad = await startUpstream(scene, (request: IncomingMessage, response: ServerResponse) => {
        response.setHeader("Outrigger-Purge", String(request.headers["x-purge"]));
        response.end("bad");
      });
      const sidecar = await scene.sidecar({
        upstream: good,
        policy: {
          plugins: ["logging", "cache"],
          routes: [
            { path: "/good/*", upstream: good },
            { path: "/bad/*", upstream: bad },
          ],
        },
      });
      const cached = async (): Promise<string | null> =>
        (await fetch(`${sidecar.url}/good/x`)).headers.get("x-cache");
      await cached();
      assert.equal(await cached(), "HIT");
      for (const member of members) {
        const answer = await fetch(`${sidecar.url}/bad/x`, { headers: { "x-purge": member } });
        assert.equal(answer.headers.get("outrigger-purge"), null);
        assert.equal(await cached(), "HIT", `gone after ${member}`);
      }
      assert.equal(asked, 1);
    },
  },
];
