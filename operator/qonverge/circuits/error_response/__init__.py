"""How a circuit responds to errors, and the profile that forecasts go by."""
