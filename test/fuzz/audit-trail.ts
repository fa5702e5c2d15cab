// Tampers with a trail at random, also with rewritten hashes: a verifier finds every tampering, at its place or by the
// next head.
// node test/fuzz/audit-trail.ts [tamperings] [seed]
import { assertFound } from "../support/tampered-trail.ts";

const [count = "10000", seed = String(Date.now() % 2 ** 31)] = process.argv.slice(2);
console.log(`${count} tamperings, seed ${seed}`);
assertFound(Number(count), Number(seed));
console.log("each was found");
