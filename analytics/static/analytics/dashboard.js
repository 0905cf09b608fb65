// Draws three of the figures anew with ECharts, to point at: from the tables of the page, which tell the same without it.
// The library comes when the first of them is in sight, and not at all where somebody saves data.
(() => {
  const address = document.currentScript.dataset.echarts;
  const charts = [...document.querySelectorAll("[data-chart='trend'], [data-chart='pyramid']")];
  const saves = navigator.connection && navigator.connection.saveData;
  if (!charts.length || saves || !("IntersectionObserver" in window)) return;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const number = (text) => (/^-?[\d,.]+$/.test(text) ? Number(text.replaceAll(",", "")) : null);
  const shown = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-GB"));

  const day = (text) => new Date(`${text}T00:00`).toLocaleDateString("en-GB", { day: "numeric", month: "short" });

  function table(figure) {
    const heads = [...figure.querySelectorAll("details thead th")].map((head) => head.textContent);
    const rows = [...figure.querySelectorAll("details tbody tr")].map((row) => [...row.cells].map((cell) => cell.textContent));
    return { heads, rows };
  }

  function frame() {
    const text = { color: colour("soft"), fontFamily: "system-ui, sans-serif" };
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    return {
      animation: !still,
      animationDuration: 300,
      textStyle: text,
      aria: { enabled: false },
      tooltip: {
        trigger: "axis", renderMode: "richText", backgroundColor: colour("card"), borderColor: colour("line"),
        textStyle: { color: colour("text"), fontSize: 13 }, valueFormatter: shown, confine: true,
      },
    };
  }

  const axis = () => ({
    axisLine: { lineStyle: { color: colour("line") } }, axisTick: { show: false },
    axisLabel: { color: colour("soft"), hideOverlap: true }, splitLine: { lineStyle: { color: colour("line") } },
  });

  function trend({ heads, rows }) {
    const at = (label) => heads.indexOf(label);
    const column = (place) => rows.map((row) => number(row[place]));
    const line = (name, place, of, width) => ({
      name, type: rows.length > 40 ? "line" : "bar", data: column(place), showSymbol: false, smooth: false, barGap: "-100%",
      lineStyle: { width, color: colour(of) }, itemStyle: { color: colour(of) }, emphasis: { disabled: true },
    });
    const series = [line("Visits", at("Visits"), at("7-day mean") > 0 && rows.length > 40 ? "faint" : "mark", 1.25)];
    if (at("7-day mean") > 0 && rows.length > 40) series.push(line("7-day mean", at("7-day mean"), "mark", 2.5));
    series.push(line("Critical visits", at("Critical visits"), "critical", 2));
    return {
      ...frame(), series,
      grid: { left: 4, right: 8, top: 12, bottom: 4, containLabel: true },
      xAxis: { type: "category", data: rows.map((row) => row[0]), ...axis(), splitLine: { show: false }, axisLabel: { color: colour("soft"), hideOverlap: true, formatter: day } },
      yAxis: { type: "value", ...axis(), axisLine: { show: false } },
    };
  }

  function pyramid({ heads, rows }) {
    const up = [...rows].reverse();
    const side = (name, of, sign) => ({
      name, type: "bar", stack: "all", barWidth: "70%", itemStyle: { color: colour(of) }, emphasis: { disabled: true },
      data: up.map((row) => {
        const value = number(row[heads.indexOf(name)]);
        return value === null ? 0 : sign * value;
      }),
    });
    const base = frame();
    base.tooltip.valueFormatter = (value) => shown(Math.abs(value));
    const most = Math.max(1, ...up.flatMap((row) => ["Female", "Male"].map((name) => number(row[heads.indexOf(name)]) || 0)));
    return {
      ...base, series: [side("Female", "female", -1), side("Male", "male", 1)],
      grid: { left: 4, right: 12, top: 28, bottom: 4, containLabel: true },
      legend: { top: 0, textStyle: { color: colour("soft") }, itemWidth: 12, itemHeight: 12 },
      xAxis: { type: "value", min: -most, max: most, ...axis(), axisLabel: { color: colour("soft"), hideOverlap: true, formatter: (value) => shown(Math.abs(Math.round(value))) } },
      yAxis: { type: "category", data: up.map((row) => row[0].split(" (")[0]), ...axis() },
    };
  }

  const shapes = { trend, pyramid };

  function draw(holder) {
    const figure = holder.closest("figure");
    if (figure.textContent.includes("<8") && holder.dataset.chart === "pyramid") return; // a hidden group stays hatched
    const place = document.createElement("div");
    place.className = "drawn";
    place.setAttribute("role", "img");
    place.setAttribute("aria-label", `${figure.querySelector(".says").textContent} The table below tells the same.`);
    holder.before(place);
    holder.classList.add("undrawn");
    const chart = window.echarts.init(place, null, { renderer: "canvas" });
    const again = () => chart.setOption(shapes[holder.dataset.chart](table(figure)), true);
    again();
    new ResizeObserver(() => chart.resize()).observe(place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  }

  function load(then) {
    if (window.echarts) return then();
    const script = document.createElement("script");
    script.src = address;
    script.addEventListener("load", then, { once: true });
    document.head.append(script);
  }

  const watch = new IntersectionObserver((seen) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    watch.disconnect();
    load(() => charts.forEach(draw));
  }, { rootMargin: "200px" });
  charts.forEach((one) => watch.observe(one));
})();
