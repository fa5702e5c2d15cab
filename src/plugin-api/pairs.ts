// Reads flat lists of names and values, the form of heads and Redis replies.

/**
 * Splits a flat list into pairs. It allocates an array per pair: loops over whole heads use an index instead.
 * @returns each name with its value; a last name without a value is left out
 */
export function pairsOf<Member>(flat: readonly Member[]): [name: Member, value: Member][] {
  const pairs: [Member, Member][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as Member, flat[at + 1] as Member]);
  return pairs;
}
