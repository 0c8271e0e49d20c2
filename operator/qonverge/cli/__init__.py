"""The commands ``qonverge`` and ``kubectl qonverge``."""
