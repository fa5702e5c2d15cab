// The options of `outrigger explain`.
export interface ExplainOptions {
  readonly request?: string;
  readonly header?: readonly string[];
  readonly identity?: string;
  readonly policy?: string;
  readonly over?: string;
  readonly service?: string;
  readonly admin?: readonly string[];
  readonly json?: true;
}
