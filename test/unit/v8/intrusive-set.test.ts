import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { IntrusiveSet, type IntrusiveItem } from "../../../src/v8/intrusive-set.ts";

function item(): IntrusiveItem {
  return { setIndex: -1 };
}

test("an item can be taken out from anywhere, and once only", () => {
  const list = new IntrusiveSet<IntrusiveItem>();
  const [a, b, c] = [item(), item(), item()];
  for (const each of [a, b, c]) list.add(each);
  list.delete(a);
  list.delete(a);
  list.delete(item());
  assert.deepEqual(new Set(list.all()), new Set([b, c]));
  assert.equal(list.size, 2);
});

test("what is listed is not changed by what follows", () => {
  const list = new IntrusiveSet<IntrusiveItem>();
  const [a, b] = [item(), item()];
  list.add(a);
  list.add(b);
  const seen = list.all();
  list.delete(a);
  list.delete(b);
  assert.deepEqual(seen, [a, b]);
});

test("it holds the same as a set after any additions and deletions", () => {
  const items = Array.from({ length: 8 }, item);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(7))), (steps) => {
      const list = new IntrusiveSet<IntrusiveItem>();
      const model = new Set<IntrusiveItem>();
      for (const [add, index] of steps) {
        const each = items[index] as IntrusiveItem;
        if (!add) list.delete(each);
        else if (!model.has(each)) list.add(each);
        if (add) model.add(each);
        else model.delete(each);
      }
      assert.deepEqual(new Set(list.all()), model);
      assert.equal(list.size, model.size);
      for (const each of list.all()) list.delete(each);
    }),
  );
});
