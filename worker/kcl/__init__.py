"""The driving edge of a worker task: the supervisor around the KCL daemon, and the shard processes in it.

Two kinds of process live here and share nothing but the heartbeat socket: the supervisor (PID 1 of the task)
and one Python child per shard, which the Java daemon starts and speaks to over pipes.
"""
