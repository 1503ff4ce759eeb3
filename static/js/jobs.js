// The history follows the fleet: its rows are taken again when a job changed.

import { keepFresh } from "./live.js";

keepFresh({ socketUrl: "/ws/fleet", wants: (frame) => frame.type === "job" });
