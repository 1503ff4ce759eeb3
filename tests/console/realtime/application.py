"""The console's own ASGI application on the tests' database, and a page that follows a job and shows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

settings.DATABASES["default"]["NAME"] = settings.DATABASES["default"]["TEST"]["NAME"]

from console.asgi import application as console  # noqa: E402

SCRIPT = Path(settings.BASE_DIR) / "static" / "js" / "socket.js"
PAGE = """<!doctype html><link rel="icon" href="data:,"><script type="module">
import { follow } from "/socket.js";
window.seen = { text: "", states: [], offset: 0, wrong: 0 };
const job = location.hash.slice(1);
window.feed = follow({
  socketUrl: `/ws/jobs/${job}/log`, pollUrl: `/api/v1/jobs/${job}/log/`, after: 0,
  onFrames(frames) {
    for (const frame of frames) if (frame.type === "log") {
      if (frame.offset !== seen.offset) seen.wrong += 1;
      seen.offset = frame.offset + frame.size;
      seen.text += frame.text;
    }
  },
  onState: (state) => seen.states.at(-1) !== state && seen.states.push(state),
});
</script>"""


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    served = {"/follow": ("text/html", PAGE), "/socket.js": ("text/javascript", SCRIPT.read_text())}
    if scope["type"] != "http" or scope["path"] not in served:
        await console(scope, receive, send)
        return
    kind, body = served[scope["path"]]
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind.encode())]})
    await send({"type": "http.response.body", "body": body.encode()})
