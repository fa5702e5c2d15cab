// Formats an exchange's heads for people. The events come from sidecars and are untrusted: anything that is no event is
// shown unchanged.

type Members = Readonly<Record<string, unknown>>;

const object = (value: unknown): Members => Object(value) as Members;
function text(value: unknown): string {
  if (typeof value === "string") return value;
  return typeof value === "number" ? String(value) : "-";
}

const rounded = (ms: unknown): unknown => (typeof ms === "number" ? Math.round(ms * 1_000) / 1_000 : ms);

/** @returns one text per line */
export function tapText(event: unknown): string[] {
  const { request, response, outcome, dropped, ...rest } = object(event);
  if (typeof dropped === "number") return [`(${dropped} more were over the rate)`];
  if (request === undefined) return [JSON.stringify(event)];
  const { method, path, query, host, fields } = object(request);
  const { status, durationMs, end, error, refusedBecause } = object(outcome);
  const notes = [end === "complete" ? undefined : end, error, refusedBecause].filter(
    (note) => note !== null && note !== undefined,
  );
  const { at, client, userId, route, requestId } = rest;
  return [
    `${text(at)} ${text(status)} ${text(method)} ${text(path)}${text(query)} of ${text(host)}, ${text(rounded(durationMs))} ms${notes.map((note) => `, ${text(note)}`).join("")}`,
    `  from ${text(client)}, user ${text(userId)}, route ${text(route)}, request ${text(requestId)}`,
    ...fieldLines(fields, ">"),
    ...fieldLines(object(response)["fields"], "<"),
  ];
}

function fieldLines(fields: unknown, mark: string): string[] {
  if (!Array.isArray(fields)) return [];
  return (fields as unknown[]).map((field) => {
    const [name, value] = Array.isArray(field) ? (field as unknown[]) : [];
    return `  ${mark} ${text(name)}: ${text(value)}`;
  });
}
