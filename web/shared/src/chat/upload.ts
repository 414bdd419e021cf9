/** Uploads that say how far they are: `fetch` cannot. */
import type { Api, Models } from "../api/client";
import { ApiError } from "../api/errors";

export type Uploaded = Models["MediaAnswer"];

const LARGEST_EDGE = 2560;
const FINE_BYTES = 1_500_000;
const QUALITY = 0.88;
const PATIENCE_MS = 180_000;

/** A picture as it is sent: one from a camera is made smaller first, so that it goes over a slow line; what cannot be read here goes as it is. */
export async function lightened(file: Blob): Promise<Blob> {
  if (file.size <= FINE_BYTES) return file;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LARGEST_EDGE / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(picture.width * scale);
    canvas.height = Math.round(picture.height * scale);
    canvas.getContext("2d")?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const made = await new Promise<Blob | null>((done) => canvas.toBlob(done, "image/jpeg", QUALITY));
    return made !== null && made.size < file.size ? made : file;
  } catch {
    return file;
  }
}

/** Raises ApiError. `onProgress` is told from 0 to 1. */
export async function upload(
  api: Api, file: Blob, purpose: "message" | "complaint", onProgress: (share: number) => void = () => undefined, signal?: AbortSignal,
): Promise<Uploaded> {
  const token = await api.session.accessToken();
  try {
    return await once(token, file, purpose, onProgress, signal);
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "auth.required") throw error;
    return once(await api.session.accessToken(token), file, purpose, onProgress, signal);
  }
}

function once(token: string, file: Blob, purpose: string, onProgress: (share: number) => void, signal?: AbortSignal): Promise<Uploaded> {
  return new Promise((done, fail) => {
    const form = new FormData();
    form.append("purpose", purpose);
    form.append("file", file, "file");
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/media");
    request.timeout = PATIENCE_MS;
    request.responseType = "json";
    request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total === 0 ? 0 : loaded / total);
    request.onload = () => {
      if (request.status === 201) done(request.response as Uploaded);
      else fail(refusal(request));
    };
    request.onerror = () => fail(new ApiError("network.offline", "network"));
    request.ontimeout = () => fail(new ApiError("network.timeout", "network"));
    request.onabort = () => fail(new ApiError("network.aborted", "network"));
    signal?.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}

function refusal(request: XMLHttpRequest): ApiError {
  const body = request.response as { code?: string; fields?: Record<string, string> } | null;
  const kind = request.status === 401 ? "unauthenticated" : request.status === 429 ? "rate_limited" : request.status >= 500 ? "unavailable" : "invalid";
  return new ApiError(body?.code ?? `http.${request.status}`, kind, body?.fields ?? {});
}
