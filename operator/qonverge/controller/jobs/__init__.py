"""HybridJobs."""
