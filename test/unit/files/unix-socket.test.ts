// Socket files left behind: removed if nothing listens on them, left alone otherwise.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { removeStaleSocket } from "../../../src/files/unix-socket.ts";

const directory = mkdtempSync(join(tmpdir(), "outrigger-socket-"));
after(() => rmSync(directory, { recursive: true }));

describe("a socket file", () => {
  it("whose process was killed is removed", async () => {
    const path = join(directory, "stale.sock");
    const source = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    await once(spawn(process.execPath, ["-e", source]), "exit");
    assert.ok(existsSync(path));
    await removeStaleSocket(path);
    assert.ok(!existsSync(path));
  });

  it("behind which somebody listens is left alone", async (t) => {
    const path = join(directory, "live.sock");
    const server = createServer((socket) => socket.destroy()).listen(path);
    await once(server, "listening");
    t.after(() => server.close());
    await removeStaleSocket(path);
    assert.ok(existsSync(path));
  });

  it("that is no socket, or is not there, is left alone", async () => {
    const path = join(directory, "file");
    writeFileSync(path, "precious");
    await removeStaleSocket(path);
    assert.ok(existsSync(path));
    await removeStaleSocket(join(directory, "missing"));
  });
});
