// Keeps the installer's own page fresh: parts marked `data-live` are fetched again every few seconds, and a log grows by
// its stream. Without it the pages show what was true when they were loaded. Loaded by templates/base.html.

const main = document.getElementById("main");
const indicator = document.getElementById("live");
const announcer = document.getElementById("announcer");
const MOST_LINES = 5000;

function indicate(live) {
  if (!indicator) return;
  indicator.hidden = false;
  indicator.className = live ? "live on" : "live";
  indicator.textContent = live ? "Live" : "Connecting…";
}

function exchange(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const next = fresh.getElementById(old.id);
    if (next && old.innerHTML !== next.innerHTML) old.replaceChildren(...next.childNodes);
  }
  const told = document.querySelector("[data-announce]")?.textContent;
  if (told && announcer.textContent !== told) announcer.textContent = told;
}

let fetching = false;

async function refresh() {
  if (document.hidden || fetching) return; // an older answer must not come after a newer one
  fetching = true;
  try {
    const answer = await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected) { location.assign("/sign-in"); return; }
    if (answer.ok) exchange(new DOMParser().parseFromString(await answer.text(), "text/html"));
    indicate(answer.ok);
  } catch {
    indicate(false); // this page's process is away; the next try follows
  } finally {
    fetching = false;
  }
}

function showLog(log) {
  const button = document.getElementById("pause");
  let held = null;
  const add = (line) => {
    const down = log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
    log.append(`${line}\n`);
    while (log.childNodes.length > MOST_LINES) log.firstChild.remove();
    if (down) log.scrollTop = log.scrollHeight;
  };
  const source = new EventSource(log.dataset.stream);
  let anew = false;
  source.onopen = () => { // each stream begins with the log's end
    indicate(true);
    if (held === null) log.replaceChildren();
    else { held = []; anew = true; }
  };
  source.onmessage = (message) => {
    if (held === null) { add(message.data); return; }
    held.push(message.data);
    if (held.length > MOST_LINES) held.shift();
    button.textContent = `Go on (${held.length} new)`;
  };
  source.onerror = () => indicate(false);
  button.hidden = false;
  button.addEventListener("click", () => {
    if (held === null) { held = []; button.textContent = "Go on"; return; }
    if (anew) log.replaceChildren();
    held.forEach(add);
    held = null;
    anew = false;
    button.textContent = "Pause";
  });
  addEventListener("pagehide", () => source.close());
}

const log = document.getElementById("log");
if (log) showLog(log);
if (main.dataset.refresh) {
  indicate(true);
  setInterval(refresh, main.dataset.refresh * 1000);
}
