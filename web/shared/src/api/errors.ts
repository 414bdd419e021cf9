/** What can go wrong with a request, as one type: a refusal of the server's, or no answer at all. */

export type ErrorKind =
  | "invalid" | "unauthenticated" | "forbidden" | "not_found" | "conflict" | "rate_limited" | "unavailable" | "internal"
  /** No answer came: offline, cut off, or too late. What was asked may have happened. */
  | "network";

const KIND_OF_STATUS: Record<number, ErrorKind> = {
  401: "unauthenticated", 403: "forbidden", 404: "not_found", 409: "conflict", 429: "rate_limited", 500: "internal", 502: "unavailable",
  503: "unavailable", 504: "unavailable",
};

/** `code` is the stable one of docs/errors.md, or `network.offline` and `network.timeout`. `fields` says what was wrong with which field. */
export class ApiError extends Error {
  override readonly name = "ApiError";

  constructor(
    readonly code: string,
    readonly kind: ErrorKind,
    readonly fields: Readonly<Record<string, string | number | string[]>> = {},
    readonly requestId: string | null = null,
  ) {
    super(code);
  }

  /** Whether trying again, with the same key, can help. */
  get mayPass(): boolean {
    return this.kind === "network" || this.kind === "unavailable" || this.kind === "rate_limited" || this.code === "idempotency.in_progress";
  }

  get retryAfterSeconds(): number | null {
    const seconds = this.fields["retry_after_seconds"];
    return typeof seconds === "number" ? seconds : null;
  }
}

/** The error that an answer other than 2xx is; one that is not ours (a proxy's page) by its status. */
export async function errorOf(response: Response): Promise<ApiError> {
  const kind = KIND_OF_STATUS[response.status] ?? (response.status >= 500 ? "internal" : "invalid");
  try {
    const body = (await response.json()) as { code?: unknown; fields?: Record<string, string>; request_id?: string };
    if (typeof body.code === "string") return new ApiError(body.code, kind, body.fields ?? {}, body.request_id ?? null);
  } catch {
    // Not JSON.
  }
  return new ApiError(`http.${response.status}`, kind);
}
