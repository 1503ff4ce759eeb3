"""The simulated fleet: machines that the console reaches by SSH as it reaches real ones.

A machine is a set of Linux namespaces with its own root folder, its own boot id and an SSH server inside; what it
runs are a real ``/bin/sh``, the host's own programs, and stand-ins for what only a Kunpeng server with Ascend NPUs has.
Nothing here knows Django, and nothing on the console's side knows that a machine is simulated, save by asking it.
``docs/simulator.md`` says what is simulated and what is not.
"""
