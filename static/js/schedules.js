// Schedules, windows and limits follow the fleet: what a page shows of them is taken again when a job changed.

import { keepFresh } from "./live.js";

keepFresh({ socketUrl: "/ws/fleet", wants: (frame) => frame.type === "job" });
