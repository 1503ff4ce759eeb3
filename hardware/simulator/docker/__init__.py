"""`docker` of a simulated machine: 18.09, as Kylin V10 has it, with its texts and exit statuses.

`load` checks and keeps an image's layers; `run` unpacks them, puts them in a mount namespace with the volumes and
device nodes asked for, and starts the image's own entrypoint there. There is no daemon: a process a container waits for
it, keeps its log and restarts it as its policy says; `docker simulated-boot` does at boot what the daemon would.

One thing is not docker's: where an image's label says so (`base_image.INTERPRETER_LABEL`), the container sees the
host's Python and libraries, since no arm64 program can run here. Everything else that runs comes from the image.
"""
