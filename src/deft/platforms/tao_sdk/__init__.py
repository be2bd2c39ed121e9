"""Kubernetes, Brev and remote Slurm through NVIDIA's own execution SDK (extra `tao-sdk`).

The SDK starts a container somewhere and says how it fares; what goes in and comes out travels through the
object storage that the SDK is configured with. Nothing the SDK says makes a result: only the record that
the job itself wrote last, whose hashes hold.
"""
