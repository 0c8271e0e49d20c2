"""Tests on a real Kubernetes cluster, and the tool that makes one."""
