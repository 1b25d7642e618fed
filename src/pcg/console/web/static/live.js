// Keeps a page as new as the server: on news it fetches the page again and exchanges the parts marked `data-live`.
// Loaded by every page (templates/base.html); without it the pages work and show what was true when they were loaded.

import { showEvent } from "./events.js";

const main = document.getElementById("main");
const indicator = document.getElementById("live");
const announcer = document.getElementById("announcer");
const events = main.dataset.events;
const FIRST_RETRY = 2000, LAST_RETRY = 30000; // milliseconds

let source = null;
let retry = FIRST_RETRY;
let after = main.dataset.after;
let fetching = false, again = false;

function indicate(live) {
  if (!indicator) return;
  indicator.hidden = false;
  indicator.className = live ? "live on" : "live";
  indicator.textContent = live ? "Live" : "Connecting…";
}

function announce(text) {
  if (text && announcer.textContent !== text) announcer.textContent = text;
}

function localTimes(root) {
  for (const time of root.querySelectorAll("time")) time.title = new Date(time.dateTime).toLocaleString();
}

function exchange(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (!next || old.dataset.was === next.innerHTML) continue;
    const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
    if (old.dataset.was !== undefined || old.innerHTML !== next.innerHTML) old.replaceChildren(...next.cloneNode(true).childNodes);
    old.dataset.was = next.innerHTML;
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    localTimes(old);
  }
  const told = document.querySelector("[data-announce]");
  if (told && told.textContent !== main.dataset.told) {
    if (main.dataset.told !== undefined) announce(told.textContent);
    main.dataset.told = told.textContent;
  }
}

async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  do {
    again = false;
    try {
      const answer = await fetch(main.dataset.source, { headers: { Accept: "text/html" }, cache: "no-store" });
      // Signed out, or the gateway is gone: the server's own page says so.
      if (answer.redirected || answer.status === 404) { location.assign(main.dataset.source); return; }
      if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch (error) {
      indicate(false);
      console.info("the console could not be asked, the stream will try again:", error.message);
    }
  } while (again);
  fetching = false;
}

function open() {
  if (source) return;
  source = new EventSource(events ? `${events}?after=${after}` : main.dataset.news);
  source.onopen = () => { retry = FIRST_RETRY; indicate(true); if (events) refresh(); };
  source.onmessage = (message) => {
    if (events) {
      after = message.lastEventId;
      announce(showEvent(JSON.parse(message.data)));
      localTimes(document.getElementById("events"));
    }
    refresh();
  };
  source.onerror = () => {
    indicate(false);
    if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    close();
    refresh();
    setTimeout(() => { if (!document.hidden) open(); }, retry);
    retry = Math.min(retry * 2, LAST_RETRY);
  };
}

function close() {
  source?.close();
  source = null;
}

if (main.dataset.source) {
  open();
  // A browser allows six connections to one host: tabs that nobody sees hold none.
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    announce("Copied");
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
}

localTimes(document);
document.getElementById("errors")?.focus();
