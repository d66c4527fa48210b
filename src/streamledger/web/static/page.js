// What the pages do beyond htmx: follow changes, tick running clocks, show screenshots, move by arrow keys.
"use strict";
(() => {
  document.documentElement.classList.add("scripted");

  // Changes: one connection, only while the page is seen, since browsers allow few connections a host.
  const address = document.body.dataset.changes;
  const feed = document.querySelector(".feed");
  let events = null;
  const followed = new Map();
  const say = (state) => {
    if (feed && feed.dataset.state !== state) {
      feed.dataset.state = state;
      feed.textContent = feed.dataset[state];
    }
  };
  const changed = () => document.body.dispatchEvent(new CustomEvent("changed"));
  let ready = false;
  const follow = () => {
    if (!ready || !address || events) return;
    events = new EventSource(address);
    events.addEventListener("open", () => say("open"));
    events.addEventListener("changed", changed);
    events.addEventListener("error", () => {
      say("lost");
      if (events && events.readyState === EventSource.CLOSED) {
        events = null;
        setTimeout(follow, 3000);
      }
    });
  };
  const rest = () => {
    if (events) events.close();
    events = null;
    for (const source of followed.values()) source.close();
    followed.clear();
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) rest();
    else {
      follow();
      changed();
      watch();
    }
  });
  window.addEventListener("pagehide", rest);
  window.addEventListener("pageshow", (event) => event.persisted && follow());
  // htmx comes after the first paint, which it would hold up. Until it is there links and forms work without
  // it, and nothing is followed: it is what answers a change.
  const htmx = document.createElement("script");
  htmx.src = document.currentScript.dataset.htmx;
  htmx.addEventListener("load", () => {
    ready = true;
    follow();
    watch();
  });
  requestAnimationFrame(() => setTimeout(() => document.head.append(htmx)));
  // Presence changes by time alone, too: silence makes a session suspect.
  if (address) setInterval(() => document.hidden || changed(), 60000);

  // A rebuild under way: its row follows the server's events until it has ended.
  const watch = () => {
    if (!ready) return;
    for (const [row, source] of followed) {
      if (row.isConnected && row.dataset.follow) continue;
      source.close();
      followed.delete(row);
    }
    for (const row of document.querySelectorAll("[data-follow]")) {
      if (followed.has(row)) continue;
      const source = new EventSource(row.dataset.follow);
      followed.set(row, source);
      source.addEventListener("progress", (event) => {
        const cells = JSON.parse(event.data);
        for (const cell of row.querySelectorAll("[data-part]")) cell.innerHTML = cells[cell.dataset.part];
      });
      source.addEventListener("ended", () => {
        source.close();
        changed();
      });
    }
  };
  document.addEventListener("htmx:after:swap", watch);

  // A refresh that is answered by an error or by the sign-in page leaves what is shown.
  document.addEventListener("htmx:before:response", (event) => {
    const response = event.detail.ctx.response.raw;
    const signedOut = response.redirected && new URL(response.url).pathname === "/sign-in";
    if (signedOut) location.reload();
    if (signedOut || !response.ok) event.preventDefault();
  });

  // Running clocks, in the form of the server's: 42 s, 12:05, 3:05:12, 2d 03:05:12.
  const two = (value) => String(value).padStart(2, "0");
  const clock = (seconds) => {
    if (seconds < 60) return `${seconds} s`;
    const s = two(seconds % 60), m = Math.floor(seconds / 60) % 60, h = Math.floor(seconds / 3600);
    if (!h) return `${m}:${s}`;
    return h < 24 ? `${h}:${two(m)}:${s}` : `${Math.floor(h / 24)}d ${two(h % 24)}:${two(m)}:${s}`;
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("[data-since]")) {
      const began = Date.parse(element.dataset.since);
      if (Number.isFinite(began)) element.textContent = clock(Math.max(0, Math.floor((Date.now() - began) / 1000)));
    }
  }, 1000);

  // A screenshot that cannot be loaded leaves its placeholder.
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) event.target.classList.add("broken");
  }, true);

  // Screenshots of a timeline: shown beside the tick that has the pointer or the focus.
  let preview = null;
  const hide = () => {
    if (preview) preview.remove();
    preview = null;
  };
  const show = (tick) => {
    hide();
    const box = tick.getBoundingClientRect();
    preview = document.createElement("figure");
    preview.className = "preview";
    const image = document.createElement("img");
    image.referrerPolicy = "no-referrer";
    image.alt = "";
    image.src = tick.dataset.image;
    preview.append(image);
    if (tick.dataset.caption) {
      const caption = document.createElement("figcaption");
      caption.textContent = tick.dataset.caption;
      preview.append(caption);
    }
    document.body.append(preview);
    const left = Math.min(Math.max(8, box.left + box.width / 2 - 160), innerWidth - 328);
    const above = box.top > 230;
    preview.style.left = `${Math.max(8, left)}px`;
    preview.style.top = above ? `${box.top - preview.offsetHeight - 8}px` : `${box.bottom + 8}px`;
  };
  for (const [event, does] of [["mouseover", show], ["focusin", show], ["mouseout", hide], ["focusout", hide]]) {
    document.addEventListener(event, ({ target }) => {
      const tick = target.closest && target.closest("[data-image]");
      if (tick) does(tick);
    });
  }
  document.addEventListener("scroll", hide, true);

  // In a group of many marks one is reached by Tab, the others by the arrow keys.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      const search = document.querySelector(".search input");
      if (search) {
        event.preventDefault();
        search.focus();
      }
    }
    const group = event.target.closest && event.target.closest("[data-roving]");
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!group || step === undefined) return;
    const marks = [...group.querySelectorAll("a")];
    const place = marks.indexOf(event.target.closest("a")) + step;
    const next = marks[Math.min(Math.max(place, 0), marks.length - 1)];
    for (const mark of marks) mark.setAttribute("tabindex", mark === next ? "0" : "-1");
    next.focus();
    event.preventDefault();
  });
})();
