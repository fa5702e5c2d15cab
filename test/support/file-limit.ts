// Preloaded into the process of every test file: ends the process after `FILE_LIMIT_MS` and reports what it was waiting
// for. node --test has a time limit for tests, but none for a file whose sockets stay open.
const limitMs = Number(process.env["FILE_LIMIT_MS"]);
// Processes that a test starts must not inherit the limit.
delete process.env["FILE_LIMIT_MS"];

function end(): never {
  const waitsFor = process.getActiveResourcesInfo().join(", ");
  process.stderr.write(`${process.argv[1]}: not over after ${limitMs} ms; open: ${waitsFor}\n`);
  process.exit(1);
}

if (limitMs > 0) setTimeout(end, limitMs).unref();
