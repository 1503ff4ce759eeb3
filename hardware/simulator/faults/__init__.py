"""What can be made to go wrong with a simulated machine while it runs: a file a kind, named as the rule that finds it.

A fault that is set is a file ``DIR/NAME/simulated/faults.d/KIND`` on the host. The machine sees the folder as
``/usr/local/simulated/faults.d``, read-only, and its stand-ins print accordingly; what the file holds is the fault's
value, words with a blank in between, and when it was written is since when it is so. It outlives a restart of the
machine and of the fleet. No Django here.
"""

from hardware.simulator.faults.fault import Fault, FaultRefused
from hardware.simulator.faults.standing import Standing, standing

__all__ = ["Fault", "FaultRefused", "Standing", "standing"]
