"""How well forecasts of fidelity predict noisy simulation, on circuits and devices that nothing was tuned on."""
