// Evaluates a forest of decision trees (XGBoost or LightGBM) in flat arrays. A node's left child directly follows it.

/** Which values of a feature count as missing at a node. */
export type Missing = "none" | "zero" | "nan";

/** A node as read from either format. */
export type TreeNode =
  | { readonly value: number }
  | {
      readonly feature: number;
      /** Values up to this one go to the left. */
      readonly threshold: number;
      readonly missing: Missing;
      readonly missingLeft: boolean;
      readonly left: unknown;
      readonly right: unknown;
    };

/** Says why a model is refused, and where in it. */
export class BadModel extends Error {
  constructor(place: string, why: string) {
    super(`${place}: ${why}`);
  }
}

const maxTrees = 10_000;
export const maxDepth = 64;
const maxNodes = 1_000_000;
/** LightGBM takes smaller absolute values for zero (kZeroThreshold). */
const zero = 1e-35;
const codes: Readonly<Record<Missing, number>> = { none: 0, zero: 1, nan: 2 };
const leftBit = 4;

export class Forest {
  /** Index of the feature; -1 at a leaf, whose value is in `#threshold`. */
  readonly #feature: Int32Array;
  readonly #threshold: Float64Array;
  readonly #right: Int32Array;
  readonly #flags: Uint8Array;
  readonly #roots: Int32Array;
  /** The most nodes that evaluating a row visits. */
  readonly steps: number;

  constructor(parts: ForestParts) {
    this.#feature = Int32Array.from(parts.feature);
    this.#threshold = Float64Array.from(parts.threshold);
    this.#right = Int32Array.from(parts.right);
    this.#flags = Uint8Array.from(parts.flags);
    this.#roots = Int32Array.from(parts.roots);
    this.steps = parts.steps;
  }

  get trees(): number {
    return this.#roots.length;
  }

  /** @param row by feature; NaN = missing @returns the sum of the leaves that the row reaches */
  sum(row: Float64Array): number {
    const feature = this.#feature;
    const threshold = this.#threshold;
    const right = this.#right;
    const flags = this.#flags;
    const roots = this.#roots;
    let sum = 0;
    for (let tree = 0; tree < roots.length; tree += 1) {
      let node = roots[tree] as number;
      let at = feature[node] as number;
      while (at >= 0) {
        const value = row[at] as number;
        const flag = flags[node] as number;
        const goesLeft = isMissing(value, flag)
          ? (flag & leftBit) !== 0
          : (Number.isNaN(value) ? 0 : value) <= (threshold[node] as number);
        node = goesLeft ? node + 1 : (right[node] as number);
        at = feature[node] as number;
      }
      sum += threshold[node] as number;
    }
    return sum;
  }
}

function isMissing(value: number, flag: number): boolean {
  const kind = flag & 3;
  if (kind === 2) return Number.isNaN(value);
  return kind === 1 && (Number.isNaN(value) || (value >= -zero && value <= zero));
}

interface ForestParts {
  readonly feature: number[];
  readonly threshold: number[];
  readonly right: number[];
  readonly flags: number[];
  readonly roots: number[];
  steps: number;
}

export class ForestBuilder {
  readonly #parts: ForestParts = { feature: [], threshold: [], right: [], flags: [], roots: [], steps: 0 };

  /**
   * @param root passed to `read` first
   * @param read turns a node of the format into a TreeNode; gets its depth, throws BadModel
   */
  add(root: unknown, read: (node: unknown, depth: number) => TreeNode): void {
    const { feature, threshold, right, flags, roots } = this.#parts;
    if (roots.length >= maxTrees) throw new BadModel("trees", `there are more than ${maxTrees}`);
    roots.push(feature.length);
    let deepest = 0;
    // Right children, waiting until everything to their left has been added.
    const waiting: { readonly node: unknown; readonly depth: number; readonly parent: number }[] = [];
    for (let next: (typeof waiting)[number] | undefined = { node: root, depth: 1, parent: -1 }; next;) {
      const { node, depth } = next;
      const found = read(node, depth);
      const index = feature.length;
      if (index >= maxNodes) throw new BadModel("trees", `there are more than ${maxNodes} nodes`);
      deepest = Math.max(deepest, depth);
      if ("value" in found) {
        feature.push(-1);
        threshold.push(found.value);
        right.push(-1);
        flags.push(0);
        next = waiting.pop();
        if (next !== undefined) right[next.parent] = feature.length;
        continue;
      }
      feature.push(found.feature);
      threshold.push(found.threshold);
      right.push(-1);
      flags.push(codes[found.missing] | (found.missingLeft ? leftBit : 0));
      waiting.push({ node: found.right, depth: depth + 1, parent: index });
      next = { node: found.left, depth: depth + 1, parent: -1 };
    }
    this.#parts.steps += deepest;
  }

  build(): Forest {
    if (this.#parts.roots.length === 0) throw new BadModel("trees", "there are none");
    return new Forest(this.#parts);
  }
}
