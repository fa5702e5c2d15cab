// A download that is too large to store streams through a caching route without growth of memory.
import assert from "node:assert/strict";
import http from "node:http";
import { test } from "node:test";
import { startBench } from "./harness.ts";

const mebibyte = 1_048_576;

test(
  "1 GiB through a caching route takes no more memory than a small answer",
  { timeout: 60_000 },
  async () => {
    const chunk = Buffer.alloc(mebibyte, "x");
    const total = 1_024;
    const bench = await startBench({
      service: (_request, response) => {
        response.writeHead(200, { "Cache-Control": "max-age=60" });
        let sent = 0;
        const more = (): void => {
          while (sent < total) {
            sent += 1;
            if (!response.write(chunk)) {
              response.once("drain", more);
              return;
            }
          }
          response.end();
        };
        more();
      },
    });
    try {
      const before = process.memoryUsage().arrayBuffers + process.memoryUsage().external;
      let most = 0;
      let received = 0;
      await new Promise<void>((resolve, reject) => {
        const request = http.get(`${bench.sidecar.url}/large`, (response) => {
          response.on("data", (bytes: Buffer) => {
            received += bytes.length;
            const { arrayBuffers, external } = process.memoryUsage();
            most = Math.max(most, arrayBuffers + external - before);
          });
          response.on("end", resolve);
          response.on("error", reject);
        });
        request.on("error", reject);
      });
      assert.equal(received, total * mebibyte);
      // Client, sidecar and service are one process here; garbage between two collections counts too.
      assert.ok(most < 200 * mebibyte, `${Math.round(most / mebibyte)} MiB`);
      assert.match(await bench.sidecar.metrics(), /^outrigger_cache_memory_bytes\{.*\} 0$/m);
    } finally {
      await bench.stop();
    }
  },
);
