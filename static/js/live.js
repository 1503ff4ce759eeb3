// Parts of a page that stay fresh: each element with an id and data-live is taken again from the server's own page, and
// replaced only where it differs. What a person is in the midst of (focus, ticked boxes, an open menu) stays.
//
//   const page = keepFresh({ socketUrl: "/ws/fleet", wants: (frame) => true, onFrames: (frames) => {} });
//   page.refresh();  // now, at most once in 800 ms

import { follow } from "./socket.js";
import { typedIn } from "./typed.js";

const SHORTEST_MS = 800;
const WITHOUT_SOCKET_MS = 4_000;
const SLOW_MS = 30_000; // Even a silent fleet is looked at again: ages and clocks move on.

export function keepFresh({ socketUrl, wants, onFrames }) {
  let timer = 0;
  let busy = false;
  let again = false;
  let last = 0;
  let took = 0;
  let state = "connecting";

  async function take() {
    timer = 0;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const began = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "error" });
      if (answer.ok) {
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
        last = Date.now();
        line(state === "live" || state === "polling");
      }
    } catch {
      // The console is away; the socket's state says so.
    } finally {
      busy = false;
      took = Date.now() - began;
      if (again) {
        again = false;
        refresh();
      }
    }
  }

  function refresh() {
    if (timer || document.hidden) return;
    // A page that takes long to make is asked for less often: at most a fifth of the time.
    timer = setTimeout(take, Math.max(0, Math.max(SHORTEST_MS, 5 * took) - (Date.now() - last)));
  }

  function line(live, seconds) {
    const text = document.getElementById("live-line");
    if (!text) return;
    const clock = new Date(last || performance.timeOrigin).toLocaleTimeString("sv-SE");
    const words = live ? text.dataset.liveWords : text.dataset.lostWords;
    text.textContent = words.replace("{clock}", clock).replace("{zone}", text.dataset.zone).replace("{seconds}", seconds ?? 0);
    text.classList.toggle("lost", !live);
  }

  const feed = follow({
    socketUrl,
    onFrames: (frames) => {
      onFrames?.(frames);
      if (frames.some(wants)) refresh();
    },
    onState: (now, detail) => {
      // What changed while the link was down was told to nobody.
      if (now === "live" && state !== "live") refresh();
      state = now;
      if (now === "live") line(true);
      if (now === "lost") line(false, detail.seconds);
      // To sign in again; what somebody is typing is kept when they send it.
      if (now === "refused" && detail.code === 4401 && !typedIn()) location.reload();
    },
  });
  setInterval(() => state !== "live" && refresh(), WITHOUT_SOCKET_MS);
  setInterval(refresh, SLOW_MS);
  document.addEventListener("visibilitychange", () => refresh());
  return { refresh, feed };
}

function replace(fresh) {
  for (const here of document.querySelectorAll("[id][data-live]")) {
    const part = fresh.getElementById(here.id);
    if (!part || text(here) === text(part)) continue;
    // A menu that is open, or a field that is being typed in, is not pulled from under a person.
    if (here.querySelector("details.pop[open], input[type=text]:focus, input:not([type]):focus, textarea:focus")) continue;
    swap(here, part);
  }
}

// The token of a form is written anew on each page; what a person has opened is no news.
const text = (part) => part.innerHTML.replace(/(name="csrfmiddlewaretoken" value=")[^"]*/g, "$1").replaceAll(' open=""', "");

function swap(here, part) {
  const ticked = new Set([...here.querySelectorAll("input[type=checkbox]:checked")].map((box) => box.value));
  const focused = here.contains(document.activeElement) ? mark(document.activeElement) : null;
  here.innerHTML = part.innerHTML;
  for (const box of here.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
  if (focused) [...here.querySelectorAll(focused.tag)].find((one) => mark(one).key === focused.key)?.focus({ preventScroll: true });
  window.htmx?.process(here);
  here.dispatchEvent(new CustomEvent("fresh", { bubbles: true }));
}

function mark(element) {
  return { tag: element.tagName, key: `${element.getAttribute("href")}|${element.name}|${element.value}|${element.textContent}` };
}
