import type { QueryResult } from './generated/query/QueryResult';

const NULL = -1;

/** Cuts the rows out of a result: each cell as base64, or null for NULL. */
export function rows(result: QueryResult | null | undefined): (string | null)[][] {
  return (result?.rows ?? []).map((row) => {
    const values = Buffer.from((row.values as string | undefined) ?? '', 'base64');
    let end = 0;
    return (row.lengths ?? []).map((text) => {
      const length = Number(text);
      if (length === NULL) {
        return null;
      }
      end += length;
      return values.subarray(end - length, end).toString('base64');
    });
  });
}
