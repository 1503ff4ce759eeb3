// The history follows the fleet: its rows are asked for again when a job changed.

import { follow } from "./socket.js";

let waiting = 0;
follow({
  socketUrl: "/ws/fleet",
  onFrames: (frames) => {
    if (waiting || !frames.some((frame) => frame.type === "job")) return;
    waiting = setTimeout(() => {
      waiting = 0;
      window.htmx.trigger("#rows", "refresh");
    }, 1000);
  },
});
