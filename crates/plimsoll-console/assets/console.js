// The one script: what changed is put in place as the server drew it, and some keys. Pages can be read without it.
"use strict";
(() => {
  const STALE_AFTER = 5000;
  const AGAIN_AFTER = 5000;
  const body = document.body;
  const now = document.getElementById("now");
  let last = Date.now();
  let shown = now && now.querySelector("time") ? now.querySelector("time").textContent : "";

  // Live: sections that the server drew anew.
  const watch = body.dataset.watch;
  const seconds = (time) => time.slice(11, 19);

  function say() {
    if (!now || !watch) return;
    const silent = Date.now() - last;
    const stale = silent > STALE_AFTER;
    body.classList.toggle("stale", stale);
    body.classList.toggle("is-live", !stale);
    const state = now.querySelector(".state");
    const time = now.querySelector("time");
    if (!state || !time) return;
    state.textContent = stale ? "last data" : "live";
    time.textContent = stale ? shown + ", " + Math.round(silent / 1000) + " s ago" : shown;
  }

  const isRow = (element) => element.dataset && element.dataset.key !== undefined;
  const busy = (element) => element.matches(":hover") || element.contains(document.activeElement);

  // Rows keep their places while somebody points at them or none changed its condition.
  function swapRows(old, fresh) {
    const olds = new Map([...old.children].filter(isRow).map((row) => [row.dataset.key, row]));
    const rows = [...fresh.children].filter(isRow);
    const state = (row) => row.dataset.key + " " + row.classList[0];
    const before = [...olds.values()].map(state).sort().join("\n");
    const after = rows.map(state).sort().join("\n");
    const reorder = before !== after && !busy(old);
    for (const row of rows) {
      const mine = olds.get(row.dataset.key);
      if (!mine) continue;
      const sep = mine.classList.contains("sep");
      mine.className = row.className;
      if (!reorder) mine.classList.toggle("sep", sep);
      if (mine.innerHTML === row.innerHTML) continue;
      const focused = mine.contains(document.activeElement) ? place(mine) : null;
      mine.innerHTML = row.innerHTML;
      if (focused !== null) focus(mine, focused);
    }
    if (!reorder) return;
    old.replaceChildren(...rows.map((row) => olds.get(row.dataset.key) || row));
  }

  const focusable = (root) => [...root.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  const place = (root) => focusable(root).indexOf(document.activeElement);
  function focus(root, index) {
    const target = focusable(root)[index];
    if (target) target.focus({ preventScroll: true });
  }

  function swap(id, html) {
    const old = document.getElementById(id);
    if (!old || old.innerHTML === html) return;
    const input = document.activeElement;
    if (old.contains(input) && input.tagName === "INPUT" && !old.querySelector("[data-rows]")) return;
    const fresh = document.createElement("div");
    fresh.innerHTML = html;
    const [rows, others] = [old.querySelector("[data-rows]"), fresh.querySelector("[data-rows]")];
    if (rows && others) {
      swapRows(rows, others);
      for (const part of fresh.querySelectorAll("[data-part]")) {
        const mine = old.querySelector('[data-part="' + part.dataset.part + '"]');
        if (mine && mine.innerHTML !== part.innerHTML && !busy(mine)) mine.innerHTML = part.innerHTML;
      }
      return;
    }
    const open = [...old.querySelectorAll("details")].map((it) => it.open);
    const scrolled = [...old.querySelectorAll(".scroll")].map((it) => it.scrollLeft);
    const focused = old.contains(document.activeElement) ? place(old) : null;
    old.replaceChildren(...fresh.childNodes);
    [...old.querySelectorAll("details")].forEach((it, index) => { if (open[index]) it.open = true; });
    [...old.querySelectorAll(".scroll")].forEach((it, index) => { it.scrollLeft = scrolled[index] || 0; });
    if (focused !== null) focus(old, focused);
    current();
  }

  let source = null;
  function listen() {
    source = new EventSource("/events?page=" + encodeURIComponent(watch));
    source.addEventListener("now", (event) => {
      last = Date.now();
      shown = seconds(event.data);
      say();
    });
    source.addEventListener("section", (event) => {
      const end = event.data.indexOf("\n");
      swap(event.data.slice(0, end), event.data.slice(end + 1));
    });
    // The browser tries again by itself, unless the server said no.
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN_AFTER);
    };
  }
  if (watch) {
    listen();
    setInterval(say, 1000);
    // A page that nobody sees watches nothing.
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) listen(); });
  }

  // Keys. None of them changes anything.
  const keys = document.getElementById("keys");
  let chosen = null;
  const rows = () => [...document.querySelectorAll("[data-key]")];
  function current() {
    if (chosen === null) return null;
    return rows().find((row) => row.dataset.key === chosen) || null;
  }
  function move(by) {
    const all = rows();
    if (!all.length) return;
    const index = all.indexOf(current() || document.activeElement.closest("[data-key]"));
    const row = all[Math.max(0, Math.min(all.length - 1, index < 0 ? 0 : index + by))];
    chosen = row.dataset.key;
    const link = row.querySelector("a");
    if (link) link.focus();
    row.scrollIntoView({ block: "nearest" });
  }
  let before = "";
  addEventListener("keydown", (event) => {
    const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.ctrlKey || event.metaKey || event.altKey || typing) return;
    const pair = before + event.key;
    before = event.key === "g" ? "g" : "";
    const pages = { gf: "/", gi: "/incidents", gd: "/decisions", gr: "/rollouts", gl: "/flags", ga: "/approvals", gt: "/topology", gc: "/configuration" };
    if (pages[pair]) { location.assign(pages[pair]); return; }
    if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "?" && keys) keys.open ? keys.close() : keys.showModal();
    else if (event.key === "/") find();
    else return;
    event.preventDefault();
  });
  function find() {
    const field = document.getElementById("find");
    if (field) { field.focus(); field.select(); } else location.assign("/#find");
  }
  if (location.hash === "#find") find();
  addEventListener("hashchange", () => { if (location.hash === "#find") find(); });

  // One line across all plots of a stack.
  addEventListener("pointermove", (event) => {
    const stack = event.target.closest ? event.target.closest(".stack") : null;
    for (const line of document.querySelectorAll(".crosshair")) {
      const mine = stack && line.parentElement === stack;
      line.style.display = mine ? "block" : "none";
      if (!mine) continue;
      const plot = stack.querySelector("svg.plot");
      const [box, outer] = [plot.getBoundingClientRect(), stack.getBoundingClientRect()];
      const x = Math.max(box.left, Math.min(box.right, event.clientX));
      line.style.left = (x - outer.left) + "px";
    }
  });
})();
