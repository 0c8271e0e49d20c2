"""The providers: what runs circuits. They are found by the descriptors that ``qonverge.providers`` collects."""
