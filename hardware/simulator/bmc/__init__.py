"""A management board (BMC) per simulated machine: an HTTPS server that speaks the Redfish of Huawei's iBMC.

It lives outside the machine, as a real one does: a machine that is off or silent still has one. Its fans and the chips'
heat act on each other (``cooling``). No Django here.
"""
