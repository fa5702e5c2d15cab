// Flat lists of names and values, as heads and Redis replies come.

/**
 * For where a list for each pair costs nothing that counts; loops over whole heads go by index.
 * @returns each name with its value; a name at the end without one is left out
 */
export function pairsOf<Member>(flat: readonly Member[]): [name: Member, value: Member][] {
  const pairs: [Member, Member][] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) pairs.push([flat[at] as Member, flat[at + 1] as Member]);
  return pairs;
}
