// Keeps the app itself, so that it opens without a network: its page and the files of its build, and nothing else. What people say and
// send, and all that the server answers under /api, is never kept here: records and media of records are in no cache.
const CACHE = "yunzhen-patient-__VERSION__";
const FILES = __FILES__;
const HOME = "/patient/";
const PATIENCE_MS = 4000;

addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll([HOME, ...FILES.map((name) => HOME + name)])).then(() => skipWaiting()));
});

addEventListener("activate", (event) => {
  const old = (name) => name.startsWith("yunzhen-patient-") && name !== CACHE;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))).then(() => clients.claim()));
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || !url.pathname.startsWith(HOME)) return;
  if (request.mode === "navigate") event.respondWith(page(request));
  else if (url.pathname.startsWith(`${HOME}assets/`)) event.respondWith(asset(request));
});

// The newest page where the network gives it in time, so that a new build is there at once; else the one that is kept.
async function page(request) {
  const kept = await caches.match(HOME);
  if (kept === undefined) return fetch(request);
  const late = new Promise((done) => setTimeout(done, PATIENCE_MS, null));
  const fresh = await Promise.race([fetch(request).catch(() => null), late]);
  if (fresh === null || !fresh.ok) return kept;
  const cache = await caches.open(CACHE);
  await cache.put(HOME, fresh.clone());
  return fresh;
}

// Named by their content: what is kept under a name is that file for ever.
async function asset(request) {
  return (await caches.match(request)) ?? fetch(request);
}
