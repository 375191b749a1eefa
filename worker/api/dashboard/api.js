// The only place that talks to the server. Addresses are relative to this file, so the page also works behind
// a path prefix, and an unchanged answer costs a 304.

const HOME = new URL("../", import.meta.url);
const TOKEN = "token";
const PURPOSE = "purpose";
const PATIENCE_MS = 20_000;
const MOST_REMEMBERED = 60;

const remembered = new Map();

export class Problem extends Error {
  constructor(status, title, detail, retryAfter) {
    super(title);
    Object.assign(this, { status, title, detail, retryAfter });
  }
}

export const token = {
  get: () => sessionStorage.getItem(TOKEN),
  set: (value) => sessionStorage.setItem(TOKEN, value),
};

export const purpose = {
  get: () => sessionStorage.getItem(PURPOSE),
  set: (value) => {
    remembered.clear();
    if (value) sessionStorage.setItem(PURPOSE, value);
    else sessionStorage.removeItem(PURPOSE);
  },
};

export function forget() {
  sessionStorage.clear();
  remembered.clear();
}

export async function ask(path, parameters = {}, signal = undefined) {
  const url = addressOf(path, parameters);
  const known = remembered.get(url.href);
  const response = await send(url, "application/json", signal, known?.etag);
  if (response.status === 304 && known) return { body: confirmed(known, response.headers), changed: false };
  const body = await response.json();
  const answer = { body, changed: true };
  const etag = response.headers.get("ETag");
  remembered.delete(url.href);
  if (etag) remembered.set(url.href, { etag, body });
  if (remembered.size > MOST_REMEMBERED) remembered.delete(remembered.keys().next().value);
  return answer;
}

export async function download(path, parameters, name) {
  const response = await send(addressOf(path, parameters), "text/csv");
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// The age of an answer changes although its figures do not, so an unchanged answer tells it beside the figures.
function confirmed(known, headers) {
  const asOf = headers.get("X-As-Of");
  if (asOf) {
    const stale = headers.get("X-Stale-Seconds");
    known.body = { ...known.body, as_of: asOf, stale_seconds: stale === null ? null : Number(stale) };
  }
  return known.body;
}

function addressOf(path, parameters) {
  const url = new URL(path, HOME);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

async function send(url, accept, signal, etag) {
  const headers = { Accept: accept, Authorization: `Bearer ${token.get()}` };
  if (etag) headers["If-None-Match"] = etag;
  if (purpose.get()) headers["X-Purpose"] = asBytes(purpose.get());
  const patience = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(url, {
      headers,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "The server cannot be reached", "Check your connection. The page keeps trying.");
  }
  if (response.ok || response.status === 304) return response;
  throw await problemOf(response);
}

// A header holds bytes; UTF-8 is what other clients send.
function asBytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  return new Problem(
    response.status,
    said.title || "The server answered with an error",
    said.detail || "",
    retryAfter,
  );
}
