import assert from "node:assert/strict";
import { test } from "node:test";
import { residentNow, residentOf } from "./resident.ts";

const smaps = `00400000-0082e000 r--p 00000000 fe:00 1 /usr/local/bin/node
Size:               4288 kB
Rss:                2048 kB
Anonymous:             0 kB
06edc000-06f0d000 rw-p 06edc000 fe:00 1 /usr/local/bin/node
Rss:                1024 kB
Anonymous:          1024 kB
1c0e5000-1c7f0000 rw-p 00000000 00:00 0 [heap]
Rss:                3072 kB
Anonymous:          3072 kB
7f0000000000-7f0000100000 rw-p 00000000 00:00 0 
Rss:                 512 kB
Anonymous:           512 kB
7f0000200000-7f0000300000 r-xp 00000000 fe:00 2 /usr/lib/libc.so.6
Rss:                1536 kB
Anonymous:             0 kB
`;

test("resident memory is told by mappings, what was written to apart", () => {
  assert.deepEqual(residentOf(smaps), { executable: 2, libraries: 1.5, malloc: 3, anonymous: 1.5 });
});

test("the parts are all that a process has resident", { skip: process.platform !== "linux" }, () => {
  const parts = Object.values(residentNow(process.pid)).reduce((sum, mebibytes) => sum + mebibytes, 0);
  const all = process.memoryUsage.rss() / (1024 * 1024);
  assert.ok(Math.abs(parts - all) < all / 10, `${parts} of ${all}`);
});
