"""`otel-traj serve`: OTLP in, durable before it is acknowledged; needs the extra `server`.

    request  ->  checked (`requests`)  ->  one frame of the log, many requests one fsync (`journal`)
             ->  answered (`otlp_grpc`, `otlp_http`)
    log      ->  rows, by a process of its own (`sealer`, kept alive by `keeper`)

The frame is the request as it came. Decoding it into rows is the sealer's work, so what is
acknowledged per second is what can be checked and written, and a sealer that dies loses nothing.
"""
