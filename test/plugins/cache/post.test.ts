// The answer to a POST that is kept for GET (RFC 9110 section 9.3.3) is held to all that holds for an answer to GET.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gate, startBench, type BenchOptions } from "./harness.ts";

const representation = { "Cache-Control": "public, max-age=60", "Content-Location": "/x" };

const numbered: BenchOptions["service"] = (_request, response, count) => {
  response.writeHead(200, representation);
  response.end(`answer ${count}`);
};

test("a POST's answer with data of its caller is kept for nobody", async () => {
  const bench = await startBench({
    policy: {
      plugins: ["cache", "identify", "transform"],
      pluginConfig: { transform: { addResponseHeaders: { "X-Caller": "$userId" } } },
    },
    service: numbered,
  });
  try {
    const posted = await bench.ask("/x", { method: "POST", body: "in", headers: { "x-user": "ann" } });
    assert.equal(posted.headers["x-caller"], "ann");
    const other = await bench.ask("/x", { headers: { "x-user": "bob" } });
    assert.deepEqual([other.headers["x-caller"], other.text], ["bob", "answer 2"]);
  } finally {
    await bench.stop();
  }
});

for (const moment of ["before its head", "within its body"]) {
  test(`a POST's answer is not kept when its URL is changed ${moment}`, async () => {
    const arrived = gate();
    const changed = gate();
    const bench = await startBench({
      service(request, response, count) {
        if (request.method === "PUT") return void response.writeHead(204).end();
        if (count > 1) return numbered(request, response, count);
        if (moment === "within its body") {
          response.writeHead(200, representation);
          response.write("old ");
        }
        arrived.open();
        void changed.opened.then(() => {
          if (!response.headersSent) response.writeHead(200, representation);
          response.end("answer");
        });
      },
    });
    const url = `${bench.sidecar.url}/x`;
    try {
      const head = fetch(url, { method: "POST", body: "in" });
      await (moment === "within its body" ? head : arrived.opened);
      await fetch(url, { method: "PUT", body: "new" });
      changed.open();
      assert.match(await (await head).text(), /answer$/);
      assert.equal(await (await fetch(url)).text(), "answer 3");
    } finally {
      await bench.stop();
    }
  });
}
