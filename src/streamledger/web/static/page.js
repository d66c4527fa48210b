// What the pages do beyond htmx: follow changes, tick running clocks, show screenshots, move by arrow keys.
"use strict";
(() => {
  document.documentElement.classList.add("scripted");

  // Changes: one connection, only while the page is seen, since browsers allow few connections a host.
  const address = document.body.dataset.changes;
  const feed = document.querySelector(".feed");
  let events = null;
  const followed = new Map();
  // What the server last said of itself, and since when it cannot be heard.
  const root = document.documentElement;
  const banner = document.querySelector(".banner");
  const last = document.getElementById("last-delivery");
  const local = (at) => new Date(at).toLocaleString("sv-SE", { timeZone: root.dataset.zone });
  let fresh = null, lostAt = null;
  const say = () => {
    if (!feed) return;
    const state = lostAt ? "lost" : !fresh || fresh.state === "up" ? "open" : fresh.state;
    if (feed.dataset.state !== state) {
      feed.dataset.state = state;
      feed.textContent = feed.dataset[state];
    }
    banner.hidden = state === "open";
    const text = state === "open" ? "" : banner.dataset[state].replace("{at}", local(lostAt || fresh.since));
    if (banner.textContent !== text) banner.textContent = text;
    if (fresh && fresh.received_at) {
      last.dateTime = fresh.received_at;
      last.title = local(fresh.received_at);
      last.dataset.ago = "";
      last.parentElement.hidden = false;
    }
  };
  const changed = () => document.body.dispatchEvent(new CustomEvent("changed"));
  let ready = false;
  const follow = () => {
    if (!ready || !address || events) return;
    events = new EventSource(address);
    events.addEventListener("open", () => {
      lostAt = null;
      say();
    });
    events.addEventListener("changed", changed);
    events.addEventListener("freshness", (event) => {
      const was = fresh;
      fresh = JSON.parse(event.data);
      say();
      if (was && was.state !== fresh.state) changed();
    });
    events.addEventListener("error", () => {
      lostAt = lostAt || Date.now();
      say();
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
    const signedOut = response.redirected && new URL(response.url).pathname === document.body.dataset.signIn;
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
  // How long ago, in the words of the server's: the largest unit of which there is one.
  const words = (root.dataset.ago || "").split("|");
  const ago = (seconds) => {
    const [unit, length] = [[3, 86400], [2, 3600], [1, 60]].find(([, length]) => seconds >= length) || [0, 1];
    return words[unit].replace("{n}", Math.floor(seconds / length));
  };
  setInterval(() => {
    if (document.hidden) return;
    for (const element of document.querySelectorAll("time[data-ago]")) {
      const text = ago(Math.max(0, Math.floor((Date.now() - Date.parse(element.dateTime)) / 1000)));
      if (element.textContent !== text) element.textContent = text;
    }
    for (const element of document.querySelectorAll("[data-since]")) {
      const began = Date.parse(element.dataset.since);
      if (Number.isFinite(began)) element.textContent = clock(Math.max(0, Math.floor((Date.now() - began) / 1000)));
    }
  }, 1000);

  // The zone of this device can be chosen where the browser tells its name.
  const device = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const button of document.querySelectorAll(".zone .device")) {
    if (!device || device === "UTC") break;
    button.value = device;
    button.textContent = `${button.textContent} (${device})`;
    if (device === root.dataset.zone) button.setAttribute("aria-current", "true");
    button.hidden = false;
  }
  // A picture that is wider than the screen shows its latest part.
  for (const drawing of document.querySelectorAll(".drawing.scroll")) drawing.scrollLeft = drawing.scrollWidth;
  // The page of an error that passes by itself looks again.
  if (document.body.dataset.retry) setTimeout(() => location.reload(), 5000);

  // A screenshot that cannot be loaded leaves its placeholder.
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) event.target.classList.add("broken");
  }, true);

  // Screenshots of a timeline: shown beside the tick that has the pointer or the focus.
  let preview = null;
  let shown = null;
  const place = (tick) => {
    const box = tick.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - 160), innerWidth - 328);
    const above = box.top > 230;
    preview.style.left = `${Math.max(8, left)}px`;
    preview.style.top = above ? `${box.top - preview.offsetHeight - 8}px` : `${box.bottom + 8}px`;
  };
  const hide = () => {
    if (preview) preview.remove();
    preview = shown = null;
  };
  const show = (tick) => {
    hide();
    shown = tick;
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
    place(tick);
  };
  const focused = () => document.activeElement && document.activeElement.closest("[data-image]");
  for (const [event, does] of [["mouseover", show], ["focusin", show], ["mouseout", hide], ["focusout", hide]]) {
    document.addEventListener(event, ({ target }) => {
      const tick = target.closest && target.closest("[data-image]");
      if (tick) does(tick);
    });
  }
  // To have the focus a mark is scrolled into sight, which is told only after the focus is: it keeps its preview.
  document.addEventListener("scroll", () => {
    if (shown && shown === focused()) place(shown);
    else hide();
  }, true);
  if (focused()) show(focused()); // before this script was there

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

  // Copying: the buttons show themselves where there is a clipboard.
  const offer = () => {
    if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  };
  offer();
  document.addEventListener("htmx:after:swap", offer);
  document.addEventListener("click", async (event) => {
    const button = event.target.closest && event.target.closest("[data-copy]");
    if (!button) return;
    const said = button.textContent;
    await navigator.clipboard.writeText("link" in button.dataset ? new URL(button.dataset.copy, location.href).href : button.dataset.copy);
    button.textContent = button.dataset.done;
    setTimeout(() => {
      button.textContent = said;
    }, 1500);
  });
})();
