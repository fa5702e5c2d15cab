// Which lines of a log stream are selected, and how they are shown.
import assert from "node:assert/strict";
import { test } from "node:test";
import { lineText, recordOf } from "../../../src/cli/log-line.ts";
import { parseStatuses } from "../../../src/language/statuses.ts";

const entry = (line: string) => ({ service: "orders", id: "1-0", line });

test("statuses by hundreds, one, a range, and several", () => {
  const fits = (text: string, ...statuses: unknown[]) =>
    statuses.map((status) => parseStatuses(text)?.(status));
  assert.deepEqual(fits("5xx", 500, 599, 499, "500", undefined), [true, true, false, false, false]);
  assert.deepEqual(fits("404", 404, 405), [true, false]);
  assert.deepEqual(fits("400-403, 2xx", 400, 403, 404, 204), [true, true, false, true]);
  for (const wrong of ["", "6xx", "5x", "40", "404,", "abc", "400-"])
    assert.equal(parseStatuses(wrong), undefined, wrong);
});

test("a line shows when, who and what, and what went wrong", () => {
  const line =
    '{"timestamp":"2026-11-28T20:00:00.000Z","status":503,"method":"GET","path":"/a","durationMs":1.5,"userId":null,"clientIp":"10.0.0.1","requestId":"r1","end":"complete","error":"overloaded"}';
  assert.equal(
    lineText(entry(line), recordOf(entry(line))),
    "2026-11-28T20:00:00.000Z orders 503 GET /a 1.5 ms - 10.0.0.1 r1 overloaded",
  );
});

test("nothing in a line moves the cursor, and what is no JSON is shown as it is", () => {
  for (const line of ["\u001B[2Jplain", '{"path":"/\\u001b[2J"}', "[]", "[".repeat(100)]) {
    const shown = lineText(entry(line), recordOf(entry(line)));
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    assert.doesNotMatch(shown, /[\u0000-\u001F]/);
    assert.match(shown, /orders/);
  }
});
