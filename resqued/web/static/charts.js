// Draws each chart from the table below it, which has all numbers without this script.
"use strict";
(() => {
  if (!window.uPlot) return;
  const HEIGHT = 200;
  // Steps between the marks of an axis of bytes, so that they are round.
  const BYTES = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const charts = new Map();

  function color(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  // Hours of the day as 24, in the zone of the other times of the pages.
  function clock() {
    const zone = /^Times: UTC/.test(document.getElementById("times")?.textContent) ? "UTC" : undefined;
    const of = (format, seconds) => new Intl.DateTimeFormat("en-GB", { ...format, timeZone: zone }).format(seconds * 1000);
    const hour = { hour: "2-digit", minute: "2-digit" }, day = { day: "numeric", month: "short" };
    return {
      ticks: (_, all, __, ___, step) => all.map((at, place) => {
        const date = of(day, at);
        if (step >= 86400) return date;
        return of(hour, at) + (place && date === of(day, all[place - 1]) ? "" : "\n" + date);
      }),
      moment: (_, at) => at === null || at === undefined ? "–" : of({ ...day, ...hour }, at),
      date: (at) => zone ? uPlot.tzDate(new Date(at * 1000), zone) : new Date(at * 1000),
    };
  }

  function read(figure) {
    const heads = [...figure.querySelectorAll(".numbers thead th")].slice(1);
    const rows = [...figure.querySelectorAll(".numbers tbody tr")].reverse();
    const columns = [rows.map((row) => Date.parse(row.querySelector("time").dateTime) / 1000)];
    heads.forEach((_, place) => columns.push(rows.map((row) => {
      const text = row.cells[place + 1].dataset.value;
      // Of a step that is not over, more will be counted.
      return text === "" || row.matches("[data-unfinished]") ? null : Number(text);
    })));
    return { columns, names: heads.map((head) => ({ name: head.textContent, bad: head.classList.contains("bad") })) };
  }

  function shown(value, unit) {
    if (value === null || value === undefined) return "–";
    if (unit === "bytes") {
      const units = ["bytes", "kB", "MB", "GB"];
      let place = 0;
      while (value >= 1024 && place < units.length - 1) { value /= 1024; place += 1; }
      return value.toLocaleString(undefined, { maximumFractionDigits: 1 }) + " " + units[place];
    }
    const text = value.toLocaleString(undefined, { maximumSignificantDigits: 4 });
    return unit === "seconds" ? text + " s" : text;
  }

  function draw(figure) {
    const place = figure.querySelector(".plot");
    const unit = figure.dataset.unit;
    const { columns, names } = read(figure);
    if (columns[0].length < 2) return;
    const times = clock();
    const lines = names.map((each, index) => ({
      label: each.name,
      stroke: color(each.bad ? "--bad" : index ? "--good" : "--accent"),
      fill: index ? undefined : color("--row"),
      width: 2,
      points: { show: false },
      value: (_, value) => shown(value, unit),
    }));
    const axis = { stroke: color("--dim"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
    if (charts.has(figure)) charts.get(figure).destroy();
    place.replaceChildren();
    // The answers of live updates have the picture for readers without this script.
    place.setAttribute("hx-morph-skip", "");
    charts.set(figure, new uPlot({
      width: place.clientWidth,
      height: HEIGHT,
      tzDate: times.date,
      series: [{ label: "From", value: times.moment }, ...lines],
      axes: [{ ...axis, values: times.ticks }, { ...axis, size: 70, ...(unit === "bytes" && { incrs: BYTES }), values: (_, ticks) => ticks.map((tick) => shown(tick, unit)) }],
      scales: { y: { range: (_, least, most) => [0, most > 0 ? most * 1.05 : 1] } },
      legend: { live: true },
      cursor: { drag: { x: false, y: false } },
    }, columns, place));
  }

  function drawAll() {
    for (const figure of charts.keys()) if (!figure.isConnected) charts.delete(figure);
    document.querySelectorAll("figure.chart").forEach(draw);
  }

  // New numbers go into the chart that is there, so that what is pointed at stays.
  function update() {
    for (const figure of document.querySelectorAll("figure.chart")) {
      const chart = charts.get(figure);
      const { columns, names } = read(figure);
      if (!chart || chart.series.length !== names.length + 1) draw(figure);
      else if (JSON.stringify(columns) !== JSON.stringify(chart.data)) chart.setData(columns);
    }
  }
  drawAll();
  document.addEventListener("htmx:after:swap", update);
  new ResizeObserver(() => {
    for (const [figure, chart] of charts) {
      const width = figure.querySelector(".plot").clientWidth;
      if (width && width !== chart.width) chart.setSize({ width, height: HEIGHT });
    }
  }).observe(document.getElementById("main"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  new MutationObserver(drawAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  for (const select of document.querySelectorAll("form.filter select")) select.addEventListener("change", () => select.form.requestSubmit());
})();
