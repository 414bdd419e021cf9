"""What operators watch, in Prometheus' names. Served on the operations port only."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

HTTP_REQUESTS: Final = Counter("yz_http_requests", "HTTP requests answered", ["route", "status"])
HTTP_SECONDS: Final = Histogram("yz_http_seconds", "Time to answer an HTTP request", ["route"])
SOCKETS: Final = Gauge("yz_sockets", "Open socket connections of this process")
SLOWEST_READER: Final = Gauge("yz_socket_write_buffer_bytes", "Bytes that wait for the slowest reader")
LIVE_HEARD: Final = Gauge("yz_live_heard", "Whether hints of other processes come through Redis")
LIVE_FROM_LOG: Final = Gauge("yz_live_from_log", "Whether the log is read for what Redis may not have carried")
CLOCK_SKEW: Final = Gauge("yz_clock_skew_seconds", "Distance of this process's clock from MongoDB's")
LEADING: Final = Gauge("yz_keeper_leading", "Whether this keeper holds the lease")
SWEPT: Final = Counter("yz_swept", "Rows that sweeps decided", ["sweep"])
SWEEP_FAILURES: Final = Counter("yz_sweep_failures", "Sweeps that ended in an error", ["sweep"])
