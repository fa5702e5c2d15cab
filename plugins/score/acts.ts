// Decides what to do about a score: reject, limit, tag, or nothing.
import { type Exchange, GatewayError, type Verdict } from "../../src/plugin-api/contract.ts";
import type { CallerRates } from "./caller-rates.ts";
import type { Result } from "./metrics.ts";
import type { ScoreOptions } from "./options.ts";

const forbidden: Verdict = {
  action: "reject",
  error: new GatewayError("forbidden", "This request is not let through."),
};
const limited: Verdict = {
  action: "reject",
  error: new GatewayError("rate_limited", "Too many requests like this one.", {
    fields: ["Retry-After", "60"],
  }),
};

export interface ActsParts {
  readonly options: Pick<ScoreOptions, "act" | "tagField" | "shadow">;
  /** Counts only requests whose score a limit applies to. */
  readonly rates: CallerRates;
  readonly callerOf: (exchange: Exchange) => string;
  readonly count: (result: Result) => void;
}

/** @returns the action on a request's score; it gives undefined where the request goes on */
export function compileActs({
  options,
  rates,
  callerOf,
  count,
}: ActsParts): (exchange: Exchange, score: number) => Verdict {
  const { shadow, tagField } = options;
  const highestFirst = options.act.toSorted((a, b) => b.above - a.above);
  const rejects = highestFirst.filter((each) => each.do === "reject").at(-1);
  const limits = highestFirst.filter((each) => each.do === "limit");
  const tags = highestFirst.filter((each) => each.do === "tag");
  const refuse = (exchange: Exchange, verdict: Verdict, above: number, score: number): Verdict => {
    if (shadow) return undefined;
    exchange.refusedBecause = `score ${score.toPrecision(4)} is above ${above}`;
    return verdict;
  };
  return function act(exchange, score) {
    if (rejects !== undefined && score > rejects.above) {
      count("reject");
      return refuse(exchange, forbidden, rejects.above, score);
    }
    // The limit with the highest threshold that the score exceeds applies.
    const limit = limits.find(({ above }) => score > above);
    if (
      limit !== undefined &&
      rates.count(`${limit.above} ${callerOf(exchange)}`) > (limit.perMinute ?? Infinity)
    ) {
      count("limit");
      return refuse(exchange, limited, limit.above, score);
    }
    const tag = tags.find(({ above }) => score > above);
    if (tag === undefined) return undefined;
    count("tag");
    if (!shadow) exchange.request.fields.set(tagField, tag.tag);
    return undefined;
  };
}
