// Makes String.prototype fast again after ioredis, which has a class that extends String. V8 takes a first subclass as
// the start of more changes and turns String.prototype into a dictionary. Optimised code then looks up `charCodeAt`
// anew for each character of a text. Once hot code reads a property of a String object, the prototype is fast again,
// and stays so.

/** More runs than V8 needs before it optimises for them. */
const runs = 1_000;

export function makeStringPrototypeFast(): void {
  for (let i = 0; i < runs; i += 1) readOne();
}

function readOne(): void {
  void new String("").charCodeAt;
}
