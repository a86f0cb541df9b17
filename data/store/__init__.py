"""The artifact store: content-addressed folders, digests, locks, copies elsewhere."""
