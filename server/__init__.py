"""Yunzhen (云诊): an internet-hospital consult server."""

__version__ = "0.1.0"
