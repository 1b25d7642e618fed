// One event of the API's stream as a row of the Events tab, like templates/events.html writes it. Used by live.js.

const MOST_ROWS = 500;
const TONES = { info: "calm", warning: "warn", error: "bad" };

const words = (name) => name.split("-").map((word) => word.charAt(0).toUpperCase() + word.slice(1)).join(" ");

// Only textContent: whatever a gateway sends stays text.
function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function cell(row, ...content) {
  const made = element("td");
  made.append(...content);
  row.append(made);
}

export function showEvent(event) {
  const tone = TONES[event.severity] ?? "calm";
  const row = element("tr", undefined, `${tone} new`);
  const time = element("time", `${new Date(event.at).toISOString().slice(0, 19).replace("T", " ")} UTC`);
  time.dateTime = event.at;
  const fine = element("span", undefined, "fine");
  const codes = [event.reason, event.machine, ...Object.entries(event.fields).map(([name, value]) => `${name}=${value}`)];
  for (const code of codes.filter(Boolean)) fine.append(element("code", code), " ");
  cell(row, time);
  cell(row, element("span", words(event.severity), `badge ${tone}`));
  cell(row, event.step ? words(event.step) : "");
  cell(row, element("span", event.message, "message"), " ", fine);

  const rows = document.getElementById("events");
  rows.prepend(row);
  while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  document.getElementById("no-events").hidden = true;
  return event.severity === "info" ? "" : `${words(event.severity)}: ${event.message}`;
}
