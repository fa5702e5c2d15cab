// Extracts the metrics, labels and label values that PromQL expressions ask for, as far as tests compare them with
// those of sidecars.

export interface Asked {
  readonly metrics: readonly string[];
  /** Labels in matchers and groupings, without labels that the expression itself creates. */
  readonly labels: readonly string[];
  /** Words that matchers compare with labels. */
  readonly values: readonly string[];
  /** Labels of the result, if the expression groups. */
  readonly grouped: readonly string[];
}

const metric = /\b(?:process_\w+|nodejs_\w+|[\w:]*outrigger[_:][\w:]+)/g;
const matcher = /(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"/g;
const grouping = /\b(by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)/g;
const made = /count_values by \([^)]*\) \("(\w+)"/g;

export function askedBy(expr: string): Asked {
  const matchers = [...expr.matchAll(matcher)];
  const groupings = [...expr.matchAll(grouping)].map(([, kind = "", list = ""]) => ({
    kind,
    labels: list.split(",").map((label) => label.trim()),
  }));
  const own = new Set([...expr.matchAll(made)].map(([, label = ""]) => label));
  const labels = [...matchers.map(([, label = ""]) => label), ...groupings.flatMap(({ labels }) => labels)];
  return {
    metrics: [...new Set(expr.match(metric))],
    labels: [...new Set(labels)].filter((label) => label !== "" && !own.has(label)),
    values: matchers.flatMap(([, , value = ""]) => value.split("|")).filter((word) => /^[a-z_]+$/.test(word)),
    grouped: groupings.flatMap(({ kind, labels }) => (kind === "by" ? labels : [])),
  };
}
