"""IQM Server, as IQM Resonance offers it: version 1 of its API."""
