"""Amazon Braket: its devices and on-demand simulators as a provider."""
