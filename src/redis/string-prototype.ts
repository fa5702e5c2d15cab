// ioredis has a class that extends String. V8 takes a first heir for the beginning of more changes and makes a dictionary of
// String.prototype; as long as it is one, optimised code looks up `charCodeAt` anew for each letter of a text. It is fast
// again, and for good, once code that runs often reads a property of a String object.

/** Runs that V8 waits for before it learns from them, with room to spare. */
const runs = 1_000;

export function makeStringPrototypeFast(): void {
  for (let i = 0; i < runs; i += 1) readOne();
}

function readOne(): void {
  void new String("").charCodeAt;
}
