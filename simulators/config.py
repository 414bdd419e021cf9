"""What the simulators are told at their start."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """`data_dir` is the deployment's; keys and state live in `data_dir/simulators`. `server_url` is where the product answers
    (only shown: callbacks go to the `notify_url` of each request).

    `callback_retry_scale` multiplies the gateway's documented retry intervals (15 s, 15 s, 30 s, …), so that a test need not
    wait hours. `refund_delay` is how long the gateway works on a refund before it is decided.
    """

    data_dir: Path
    port: int
    server_url: str
    callback_retry_scale: float = 1.0
    refund_delay: timedelta = timedelta(milliseconds=200)
    hl7_port: int = 0
    """Where the product listens for HL7 v2 on this machine; 0: nowhere."""
    late_seconds: float = 30.0
    """How late `late` and `slow` are when a fault does not say."""
