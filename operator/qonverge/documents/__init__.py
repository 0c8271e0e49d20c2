"""Texts that people and programs write, as plain values: strict JSON, YAML as kubectl reads it. Pure."""
