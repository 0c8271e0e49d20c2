"""IBM Quantum: its REST API for qiskit-ibm-runtime, and tokens of IBM Cloud's IAM."""
