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

// A link of a gateway's leads somewhere only by the web's own schemes (web/templating.py, safe_link).
function evidenceAndRemedy(finding) {
  const made = element("details");
  made.append(element("summary", "Evidence and remedy"));
  if (finding.evidence.length) {
    const list = element("ul", undefined, "evidence");
    for (const line of finding.evidence) {
      const item = element("li"), source = element("span", line.source, "source");
      if (line.file) source.append(` · ${line.file}${line.line === null ? "" : `:${line.line}`}`);
      if (line.time) source.append(" · ", moment(line.time));
      item.append(source, " ", line.text);
      list.append(item);
    }
    made.append(element("h4", "Evidence"), list);
  }
  const linked = /^https?:\/\//.test(finding.link);
  if (finding.remedy.length || linked) made.append(element("h4", "What to do"));
  if (finding.remedy.length === 1) made.append(element("p", finding.remedy[0]));
  else if (finding.remedy.length) {
    const list = element("ol");
    for (const remedy of finding.remedy) list.append(element("li", remedy));
    made.append(list);
  }
  if (linked) {
    const link = element("a", "Read more in the documentation"), place = element("p");
    link.href = finding.link;
    link.rel = "noreferrer";
    place.append(link);
    made.append(place);
  }
  return made;
}

function moment(at) {
  const time = element("time", `${new Date(at).toISOString().slice(0, 19).replace("T", " ")} UTC`);
  time.dateTime = at;
  return time;
}

export function showEvent(event) {
  const tone = TONES[event.severity] ?? "calm";
  const row = element("tr", undefined, `${tone} new`);
  const fine = element("span", undefined, "fine");
  const codes = [event.reason, event.machine, ...Object.entries(event.fields).map(([name, value]) => `${name}=${value}`)];
  for (const code of codes.filter(Boolean)) fine.append(element("code", code), " ");
  cell(row, moment(event.at));
  cell(row, element("span", words(event.severity), `badge ${tone}`));
  cell(row, event.step ? words(event.step) : "");
  cell(row, element("span", event.message, "message"), " ", fine, ...(event.finding ? [evidenceAndRemedy(event.finding)] : []));

  const rows = document.getElementById("events");
  rows.prepend(row);
  while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  document.getElementById("no-events").hidden = true;
  return event.severity === "info" ? "" : `${words(event.severity)}: ${event.message}`;
}
