"""The life of a HybridJob: what its status says at each step. Shared by the operator and the embedded mode. Pure."""
