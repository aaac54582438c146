"""Session stores: what lets any worker take the next event of any connection.

`open_store(url)` gives LMDB (embedded), Redis (shared, inspectable) or RoadRunner's own KV (no extra program).
"""

from rr_tcp.stores.open import CheckedSessionStore, open_store

__all__ = ["CheckedSessionStore", "open_store"]
