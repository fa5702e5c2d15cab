// The budget that clients share: never more than the whole, never all of it for one client, and all of it returned at
// the end.
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ClientBudget } from "../../../src/client/client-budget.ts";

test("holds both bounds, whoever takes and gives", () => {
  const step = fc.record({
    client: fc.constantFrom("a", "b", "c", undefined),
    amount: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.array(fc.nat()), (takes, order) => {
      const budget = new ClientBudget(100, 0.6);
      const held: { client: string | undefined; amount: number }[] = [];
      for (const [index, take] of takes.entries()) {
        if (budget.take(take.client, take.amount)) held.push(take);
        const of = (client: string | undefined): number =>
          held.filter((each) => each.client === client).reduce((sum, { amount }) => sum + amount, 0);
        assert.ok(budget.taken <= 100 && (take.client === undefined || of(take.client) <= 60));
        const at = order[index];
        if (at === undefined || held.length === 0) continue;
        for (const { client, amount } of held.splice(at % held.length, 1)) budget.give(client, amount);
      }
      for (const { client, amount } of held) budget.give(client, amount);
      assert.equal(budget.taken, 0);
      assert.ok(budget.take("a", 60));
    }),
  );
});
