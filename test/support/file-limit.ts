// Loaded into the process of every test file: ends it, and says what it waited for, when it takes longer than
// `FILE_LIMIT_MS`. node --test has a time limit for tests, but none for a file whose sockets stay open.
const limitMs = Number(process.env["FILE_LIMIT_MS"]);
// Not for what a test starts in its turn.
delete process.env["FILE_LIMIT_MS"];

function end(): never {
  const waitsFor = process.getActiveResourcesInfo().join(", ");
  process.stderr.write(`${process.argv[1]}: not over after ${limitMs} ms; open: ${waitsFor}\n`);
  process.exit(1);
}

if (limitMs > 0) setTimeout(end, limitMs).unref();
