// Times in the zone of the reader, relative where they are recent; UTC in the title.
"use strict";
(() => {
  const units = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
  const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  function show(element) {
    const when = new Date(element.dateTime);
    if (isNaN(when)) return;
    const ago = (Date.now() - when) / 1000;
    const local = when.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    let text = local;
    if (!element.matches("[data-absolute]") && Math.abs(ago) < 7 * 86400) {
      const [length, unit] = units.find(([each]) => Math.abs(ago) >= each) || [1, "second"];
      text = relative.format(-Math.round(ago / length), unit);
    }
    if (element.textContent !== text) element.textContent = text;
    element.title = local + " (" + element.dateTime + ")";
  }
  function showAll(root) { root.querySelectorAll("time[datetime]").forEach(show); }
  showAll(document);
  document.addEventListener("htmx:after:swap", (event) => showAll(event.target.closest ? event.target : document));
  setInterval(() => { if (!document.hidden) showAll(document); }, 10000);
})();
