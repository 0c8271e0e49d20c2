"""Google's Quantum Engine: its processors as a provider."""
