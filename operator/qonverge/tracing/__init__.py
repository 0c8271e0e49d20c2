"""Spans of a job's way, which travel from process to process as W3C trace contexts. Off unless an endpoint is set."""
