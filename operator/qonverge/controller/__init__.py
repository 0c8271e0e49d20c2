"""The operator: observe, decide, act, record."""
