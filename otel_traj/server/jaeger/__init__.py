"""The store as Jaeger shows traces: its query API over HTTP, and as storage of a Jaeger server.

`asked` is a question as both families of the HTTP API put it, `reading` answers it from the store,
`legacy` and `otel_traj.otlp` write the answer. `http` and `storage` carry it.
"""
