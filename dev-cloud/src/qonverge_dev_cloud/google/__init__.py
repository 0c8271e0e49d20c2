"""Google's Quantum Engine: its API by gRPC and by REST, and its virtual processors."""
