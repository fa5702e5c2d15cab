// Reads typed parts of an unvalidated document. Each function throws BadModel with the place.
import { BadModel } from "./forest.ts";

export type Part = Readonly<Record<string, unknown>>;

export function objectAt(value: unknown, place: string): Part {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Part;
  throw new BadModel(place, "is no object");
}

export function listAt(value: unknown, place: string): readonly unknown[] {
  if (Array.isArray(value)) return value as readonly unknown[];
  throw new BadModel(place, "is no list");
}

export function numberAt(value: unknown, place: string): number {
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new BadModel(place, "is no finite number");
}

export function indexAt(value: unknown, place: string, below: number): number {
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) < below) return value as number;
  throw new BadModel(place, `is no whole number from 0 to ${below - 1}`);
}

/** Reads a number written as text, which is how XGBoost saves its parameters. */
export function numericTextAt(value: unknown, place: string): number {
  const text = typeof value === "string" ? value : "";
  if (/^[+-]?(\d+(?:\.\d*)?|\.\d+)([eE][+-]?\d+)?$/.test(text)) return numberAt(Number(text), place);
  throw new BadModel(place, "is no number as text");
}

export function textAt(value: unknown, place: string): string {
  if (typeof value === "string") return value;
  throw new BadModel(place, "is no text");
}
