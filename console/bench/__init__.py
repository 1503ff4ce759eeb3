"""``python -m console.bench``: the job engine measured as it is deployed, against plain peers in the same run.

``rig`` starts what is measured: Redis, web server and worker by the very command lines of ``manage.py up``, and
machines (``machines``), real SSH servers on loopback. Each other module measures one thing and gives ``Figure`` rows.
"""
