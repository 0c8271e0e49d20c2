"""The task protocol between clients, the operator and backends: messages, encoding, errors, tokens."""
