"""The outside world speaking its real protocols: payment gateways, SMS, push. The only place with test levers."""
