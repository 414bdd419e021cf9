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

// A push never holds words of people: our own sentence, how many wait, and what to open.
addEventListener("push", (event) => {
  const told = read(event.data);
  const { order_id: order, kind } = told.extras ?? {};
  const path = order === undefined ? "notices" : kind === "message" ? `orders/${order}/chat` : `orders/${order}`;
  const shown = registration.showNotification(told.title ?? "云诊", {
    body: told.text ?? "", tag: told.collapse, renotify: told.collapse !== undefined, icon: `${HOME}icon-192.png`, badge: `${HOME}icon-192.png`, lang: "zh-CN",
    data: { path: HOME + path },
  });
  event.waitUntil(Promise.all([shown, typeof told.badge === "number" ? badge(told.badge) : undefined]));
});

function read(data) {
  try {
    return data?.json() ?? {};
  } catch {
    return {};
  }
}

async function badge(count) {
  await (count > 0 ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.())?.catch(() => undefined);
}

// To the page that is open, or to a new one. A browser that does not let itself be brought to the front still goes there.
addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.path ?? HOME));
});

async function open(path) {
  const [page] = await clients.matchAll({ type: "window", includeUncontrolled: true }).then((all) => all.filter((each) => new URL(each.url).pathname.startsWith(HOME)));
  if (page === undefined) return clients.openWindow(path);
  await page.focus().catch(() => undefined);
  return page.navigate(path).catch(() => clients.openWindow(path));
}
