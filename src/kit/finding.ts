// Defines the result of one check by `plugin test`.
export interface Finding {
  readonly what: string;
  readonly state: "ok" | "fail";
  readonly detail: string;
}

export const good = (what: string, detail: string): Finding => ({ what, state: "ok", detail });
export const bad = (what: string, detail: string): Finding => ({ what, state: "fail", detail });
