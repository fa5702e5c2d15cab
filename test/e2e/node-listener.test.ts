// The suites of exact bytes once more, in sidecars that read HTTP/1.1 by our own parser. All others:
// `OUTRIGGER_LISTENER=own node --test FILE`.
process.env["OUTRIGGER_LISTENER"] = "own";

await import("./malformed.test.ts");
await import("./pipelining.test.ts");
await import("./forward.test.ts");
await import("./upgrade.test.ts");
await import("./upgrade-faults.test.ts");
