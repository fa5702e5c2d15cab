// What an HTTP/2 service sees of an exchange that is aborted.
import assert from "node:assert/strict";
import { once } from "node:events";
import http2, { type ClientHttp2Session, type ServerHttp2Stream } from "node:http2";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { ResetBudget } from "../../../src/http2/reset-budget.ts";
import { Http2Call } from "../../../src/upstream/http2-call.ts";
import type { UpstreamHandler } from "../../../src/upstream/transport.ts";

const nobody: UpstreamHandler = {
  onInterim: () => {},
  onHead: () => {},
  onData: () => true,
  onEnd: () => {},
  onFail: () => {},
  onDrain: () => {},
};

async function answerTo(session: ClientHttp2Session): Promise<void> {
  const stream = session.request({ ":path": "/other" });
  stream.resume();
  await once(stream, "end");
}

test("an upload that is given up is no whole one, though the service has seen all resets that it may see", async (t) => {
  const server = http2.createServer();
  const uploads: ServerHttp2Stream[] = [];
  let ended = 0;
  server.on("stream", (stream: ServerHttp2Stream, { ":path": path }) => {
    stream.on("error", () => {});
    if (path === "/other") return stream.respond({ ":status": 204 }, { endStream: true });
    uploads.push(stream);
    stream.on("end", () => (ended += stream.aborted ? 0 : 1));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  t.after(() => {
    session.destroy();
    server.close();
  });
  await once(session, "connect");
  const fields = ["host", "a.test"];
  const call = new Http2Call(
    { method: "POST", target: "/upload", fields, body: "stream", connectTimeoutMs: 1_000, timeoutMs: 1_000 },
    nobody,
    { owner: { over: () => {}, silent: () => {}, forget: () => {} }, scheme: "http" },
  );
  call.start(session, new ResetBudget({ burst: 0, perSecond: 0 }, performance.now()));
  call.write(Buffer.from("half of it"));
  await answerTo(session);
  const [upload] = uploads;
  assert.ok(upload);
  assert.equal(String(((await once(upload, "data")) as Buffer[])[0]), "half of it");
  call.abort();
  for (let i = 0; i < 3; i += 1) await answerTo(session);
  assert.equal(ended, 0);
});
