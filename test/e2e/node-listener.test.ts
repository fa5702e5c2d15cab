// Repeats the suites of exact bytes in sidecars that read HTTP/1.1 with node:http. For all other suites:
// `OUTRIGGER_LISTENER=node node --test FILE`.
process.env["OUTRIGGER_LISTENER"] = "node";

await import("./malformed.test.ts");
await import("./pipelining.test.ts");
await import("./forward.test.ts");
await import("./upgrade.test.ts");
await import("./upgrade-faults.test.ts");
await import("./reset-clients.test.ts");
